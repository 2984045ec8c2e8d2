"""What the hub's client raises, as one line of ours that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EDQUOT, ENOSPC, EROFS
from logging import CRITICAL

from mlx_magistral.errors import HubError, ModelNotFoundError

_LOGIN = "run `hf auth login`"
# Errors of this machine's disk, and what helps.
_LOCAL = {
    ENOSPC: "Free some, or set HF_HOME to a larger disk, and run the same command again.",
    EDQUOT: "Free some, or set HF_HOME to another disk, and run the same command again.",
    EACCES: "Give yourself the right to write there, or set HF_HOME to another folder.",
    EROFS: "Set HF_HOME to a folder that can be written.",
}


@contextmanager
def clear_hub_errors(repository: str, doing: str = "downloaded") -> Iterator[None]:
    """Turn the client's errors into ModelNotFoundError or HubError; its own log lines are off."""
    from huggingface_hub import errors

    try:
        with silent_client():
            yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repository} is gated. Accept its terms on its page, then {_LOGIN}."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"There is no folder and no hub repository {repository}. Check the name; for a private "
            f"one {_LOGIN}."
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise HubError(
            f"{repository} is not on this disk, or only in part, and HF_HUB_OFFLINE is set. Unset "
            "it to download."
        ) from error
    except errors.HfHubHTTPError as error:
        raise HubError(_refusal(repository, doing, error)) from error
    # The client's transport errors (no network, cut connection) have this HTTPError as their base.
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        if isinstance(error, OSError) and error.errno in _LOCAL:
            raise HubError(
                f"{repository} could not be {doing}: {error.strerror} ({error.filename or 'disk'})."
                f" {_LOCAL[error.errno]} What has arrived is kept."
            ) from error
        raise HubError(
            f"{repository} could not be {doing} ({_first_line(error)}). Check the network and run "
            "the same command again; what has arrived is kept."
        ) from error


@contextmanager
def silent_client() -> Iterator[None]:
    """Without the client's own log lines: what matters of them is said by errors of ours."""
    from huggingface_hub.utils import logging

    previous = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(previous)


def _refusal(repository: str, doing: str, error: "Exception") -> str:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status == 429:
        wait = response.headers.get("Retry-After") if response is not None else None
        when = f"in {wait} s" if wait else "in a few minutes"
        return f"The hub has had too many requests. Run the same command {when}, or {_LOGIN} first."
    if status in (401, 403):
        return f"The hub refuses {repository} ({status}). To use a token with access, {_LOGIN}."
    return (
        f"{repository} could not be {doing} ({_first_line(error)}). Run the same command again "
        "later; what has arrived is kept."
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
