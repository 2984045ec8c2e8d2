"""A model fetched before a command uses it: disk and memory are looked at, progress is shown."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlx_magistral.errors import CheckpointError, HubError, MemoryPlanError, TokenizerError

if TYPE_CHECKING:
    from mlx_magistral.hub.examine import Examined
    from mlx_magistral.hub.repository import Repository
    from mlx_magistral.model.checkpoint import Checkpoint

# Left free beside the download, so that the machine goes on working.
_DISK_RESERVE_BYTES = 1_000_000_000


def fetch_model(
    model: str,
    *,
    force: bool = False,
    is_shown: bool,
    is_verbose: bool = False,
    must_fit: bool = True,
    tokenizer: str | Path | None = None,
    needs_tokenizer: bool = True,
) -> tuple[Path, int]:
    """The model's folder, downloaded where it is not here, and the bytes that were missing.

    What can be refused is refused before anything large is fetched (``examine``). Raises what that
    raises, and MemoryPlanError where it ``must_fit`` and does not; ``force`` turns that, and too
    small a disk, into a line on stderr.
    """
    from mlx_magistral.hub.resolve import find_local

    if (folder := find_local(model)) is not None:
        return folder, 0
    # Below this line, as it imports mlx: chat's prompt does not wait for that.
    from mlx_magistral.hub.examine import examine

    examined = examine(model, tokenizer=None if tokenizer is None else Path(tokenizer))
    if needs_tokenizer:
        examined.require_tokenizer()
    if must_fit:
        check_memory(examined.checkpoint, force)
    return fetch_examined(model, examined, force=force, is_shown=is_shown, is_verbose=is_verbose)


def mend_model(
    model: str, folder: Path, *, has_hashes: bool, force: bool, is_shown: bool, is_verbose: bool
) -> int:
    """Fetch again what of a downloaded model is cut or damaged; the bytes that takes.

    Sizes are always looked at, and every byte with ``has_hashes`` or where the model is refused as
    it is. Raises what ``examine`` does of a model that is as published.
    """
    from mlx_magistral.hub.examine import examine
    from mlx_magistral.hub.repair import take_out_damage

    repository = take_out_damage(folder, has_hashes=has_hashes)
    if repository is None:
        try:
            examine(model)
        except (CheckpointError, TokenizerError):
            repository = take_out_damage(folder, has_hashes=True)
            if repository is None:
                raise
    if repository is None:
        return 0
    wrong = [file.name for file in repository.files if not repository.is_here(file)]
    click.echo(f"Not as published, and fetched again: {', '.join(wrong)}", err=True)
    nbytes = _download(
        repository.only(wrong), force=force, is_shown=is_shown, is_verbose=is_verbose
    )
    examine(model)
    return nbytes


def fetch_examined(
    model: str,
    examined: "Examined",
    *,
    force: bool = False,
    is_shown: bool,
    is_verbose: bool = False,
) -> tuple[Path, int]:
    """Download what an examined model still needs; its folder, and the bytes that were missing."""
    from mlx_magistral.hub.cache import is_begun

    if examined.repository is None:
        return examined.folder, 0
    if is_begun(model) and is_shown:
        click.echo(f"{model} is here in part; going on with the download.", err=True)
    nbytes = _download(examined.repository, force=force, is_shown=is_shown, is_verbose=is_verbose)
    return examined.folder, nbytes


def fetch_data(repository: "Repository", *, is_shown: bool) -> Path:
    """The folder of a data set's files, those downloaded that are not here.

    Too small a disk is a line on stderr: what fits of it may be enough.
    """
    is_missing = repository.missing_bytes > 0
    _download(repository, force=True, is_shown=is_shown and is_missing, is_verbose=False)
    return repository.snapshot


def _download(repository: "Repository", *, force: bool, is_shown: bool, is_verbose: bool) -> int:
    """Fetch with progress; returns the bytes that were missing."""
    from mlx_magistral.cli.download_progress import DownloadProgress
    from mlx_magistral.hub.download import download

    nbytes = repository.missing_bytes
    _check_disk(repository, force)
    if is_verbose:
        click.echo(f"{repository.name} at commit {repository.commit}:", err=True)
        for file in repository.files:
            click.echo(f"  {file.nbytes / 1e6:9.1f} MB  {file.name}", err=True)
    present = repository.nbytes - nbytes
    with DownloadProgress(
        repository.name, repository.nbytes, present, is_shown=is_shown
    ) as progress:
        download(repository, progress.report)
    return nbytes


def fetch_named(name: str, tokenizer: str | Path | None = None, *, must_fit: bool = True) -> None:
    """Download a hub id that is not here whole, with progress on a terminal.

    A name that leads to no model is refused here, before anybody is asked for a message.
    """
    from mlx_magistral.hub.known_folders import is_model_folder

    folder, _ = fetch_model(name, is_shown=True, must_fit=must_fit, tokenizer=tokenizer)
    if not is_model_folder(folder):
        from mlx_magistral.model.checkpoint import open_checkpoint

        open_checkpoint(folder)


def fetch_source(name: str, *, is_shown: bool) -> None:
    """Download a hub id that is read tensor by tensor, so that it need not fit the memory."""
    from mlx_magistral.hub.resolve import is_gguf

    path = Path(name).expanduser()
    # No hub id ends like a file; opening one that is absent says so.
    if not is_gguf(path) and not path.exists():
        fetch_model(name, is_shown=is_shown, must_fit=False, needs_tokenizer=False)


def _check_disk(repository: "Repository", force: bool) -> None:
    from mlx_magistral.hub.cache import cache_folder

    existing = cache_folder()
    while not existing.exists():
        existing = existing.parent
    free, needed = shutil.disk_usage(existing).free, repository.missing_bytes
    if needed + _DISK_RESERVE_BYTES <= free:
        return
    message = (
        f"{repository.name} needs {needed / 1e9:.2f} GB more and {existing} has {free / 1e9:.2f} "
        f"GB free ({_DISK_RESERVE_BYTES / 1e9:.0f} GB stays free)."
    )
    if not force:
        raise HubError(f"{message} Free some, set HF_HOME to a larger disk, or add --force.")
    click.echo(message, err=True)


def check_memory(checkpoint: "Checkpoint", force: bool) -> None:
    """Raise MemoryPlanError where a model does not fit; with ``force`` it is a line on stderr."""
    from mlx_magistral.memory.machine import this_machine
    from mlx_magistral.memory.plan import make_plan, require_fit
    from mlx_magistral.model.config import DEFAULT_CONTEXT

    config = checkpoint.config
    context = min(DEFAULT_CONTEXT, config.max_position_embeddings or DEFAULT_CONTEXT)
    plan = make_plan(config, checkpoint.nbytes, this_machine(), context)
    try:
        require_fit(config, plan)
    except MemoryPlanError as error:
        # A source for convert need not fit; that is what --force is for.
        if not force:
            raise MemoryPlanError(
                f"{error} To download it all the same, as for `mlx-magistral convert`, add --force."
            ) from error
        click.echo(str(error), err=True)
