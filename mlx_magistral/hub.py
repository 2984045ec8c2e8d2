"""From a model's name to a folder on this disk: ``nano``, a folder, or a hub id.

Downloads go through huggingface_hub into its own cache and take one weight format only: the
original repository holds the same 47 GB twice.
"""

import fnmatch
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlx_magistral.errors import HubError, ModelNotFoundError

NANO = "nano"
MODEL_VARIABLE = "MLX_MAGISTRAL_MODEL"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")

# Small files that any of the formats needs; tekken.json is the one tokenizer we read.
_SIDE_FILES = (
    "config.json",
    "params.json",
    "generation_config.json",
    "conversion.json",
    "tekken.json",
    "SYSTEM_PROMPT.txt",
)
# In order of preference: sharded HF files resume shard by shard and need no q/k permutation.
_WEIGHT_FORMATS = (
    ("model*.safetensors", "model.safetensors.index.json"),
    ("consolidated*.safetensors", "consolidated.safetensors.index.json"),
)


def nano_folder() -> Path:
    """The embedded model's folder inside this package."""
    return Path(__file__).parent / NANO


def default_model() -> str:
    """The model when none is named: the environment's, else ``nano``."""
    return os.environ.get(MODEL_VARIABLE) or NANO


def resolve_model(model: str | Path) -> Path:
    """Return the folder that holds ``model``, downloading it when it is a hub id not yet here.

    Raises ModelNotFoundError where the name is none of the three, HubError where the download
    fails.
    """
    return find_local(model) or _download(str(model))


def find_local(model: str | Path) -> Path | None:
    """The folder that holds ``model``; None for a hub id that would have to be downloaded."""
    if model == NANO:
        return nano_folder()
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    name = str(model)
    if folder.exists():
        raise ModelNotFoundError(
            f"{name} is a file, and a model is a folder. Name the folder that holds it."
        )
    if not _HUB_ID.fullmatch(name):
        raise ModelNotFoundError(
            f"There is no folder {name}, and it is not a hub id such as "
            'mistralai/Magistral-Small-2507 either. Check the path, or use "nano", the embedded '
            "model."
        )
    return _cached_snapshot(name)


def files_to_download(repository_files: list[str]) -> list[str]:
    """Choose what a repository must give: one weight format and the small files beside it.

    Raises HubError when it holds neither format as safetensors.
    """
    top_level = [name for name in repository_files if "/" not in name]
    for patterns in _WEIGHT_FORMATS:
        weights = [
            name for name in top_level if any(fnmatch.fnmatch(name, each) for each in patterns)
        ]
        if any(name.endswith(".safetensors") for name in weights):
            return sorted(weights) + [name for name in _SIDE_FILES if name in top_level]
    raise HubError(
        "The repository holds no model*.safetensors and no consolidated*.safetensors. Choose one "
        "in the HF, native Mistral or MLX format."
    )


def _cached_snapshot(repository: str) -> Path | None:
    """The newest complete snapshot in the local hub cache, found without the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for weights in _WEIGHT_FORMATS:
        patterns = [*weights, *_SIDE_FILES]
        try:
            # The hub's client remembers the repository's listing and refuses a partial snapshot.
            snapshot = snapshot_download(repository, local_files_only=True, allow_patterns=patterns)
        except LocalEntryNotFoundError:
            continue
        if any(Path(snapshot).glob(weights[0])):
            return Path(snapshot)
    return None


def _download(repository: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    with clear_hub_errors(repository):
        wanted = files_to_download(HfApi().list_repo_files(repository))
        return Path(snapshot_download(repository, allow_patterns=wanted))


@contextmanager
def clear_hub_errors(repository: str) -> Iterator[None]:
    """Turn what the hub's client raises into ModelNotFoundError or HubError with advice."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repository} is gated. Accept its terms on its page, then run `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"There is no folder and no hub repository {repository}. Check the name; for a private "
            "one run `hf auth login`."
        ) from error
    # The client's transport errors (no network, cut connection) have this HTTPError as their base.
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise HubError(
            f"{repository} could not be downloaded ({reason}). Check the network and run the same "
            "command again; what has arrived is kept."
        ) from error
