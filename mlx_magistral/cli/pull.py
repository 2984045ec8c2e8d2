"""``mlx-magistral pull``: a model from the hub, after a look at disk and memory."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option
from mlx_magistral.errors import HubError, MagistralError, UsageError

if TYPE_CHECKING:
    from mlx_magistral.hub_download import Repository

# Left free beside the download, so that the machine goes on working.
_DISK_RESERVE_BYTES = 1_000_000_000
_ORIGINAL = "mistralai/Magistral-Small-2507"
_SUGGESTED_BITS = (8, 6, 4)


@click.command()
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("--force", is_flag=True, help="Download although disk or memory look too small.")
@click.option("--quiet", "-q", is_flag=True, help="No progress; the folder's path alone.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@debug_option
def command(model: str | None, force: bool, quiet: bool, as_json: bool) -> None:
    """Download MODEL, a hub id, into the hub's cache; without MODEL say what suits this machine.

    One weight format is taken, checked by hash. Run the same command again after a cut: it goes
    on where it stopped. Access tokens are those of `hf auth login` or HF_TOKEN.

    \b
      mlx-magistral pull
      mlx-magistral pull mistralai/Magistral-Small-2507
      mlx-magistral pull someone/magistral-4bit --force
    """
    if model is None:
        _suggest(as_json)
        return
    folder, nbytes = fetch_model(model, force=force, is_shown=not (quiet or as_json))
    if as_json:
        click.echo(json.dumps({"model": model, "folder": str(folder), "fetched_bytes": nbytes}))
    else:
        click.echo(folder)


def fetch_model(model: str, *, force: bool, is_shown: bool) -> tuple[Path, int]:
    """The model's folder, downloaded where it is not here, and the bytes that were missing."""
    from mlx_magistral.hub import find_local
    from mlx_magistral.hub_download import download, inspect_repository

    if (folder := find_local(model)) is not None:
        return folder, 0
    from mlx_magistral.cli.download_progress import DownloadProgress

    repository = inspect_repository(model)
    nbytes = repository.missing_bytes
    _check_disk(repository, force)
    _check_memory(model, force)
    with DownloadProgress(repository.nbytes, is_shown=is_shown) as progress:
        folder = download(repository, progress.report)
    _fetch_tokenizer(folder)
    return folder, nbytes


def _fetch_tokenizer(folder: Path) -> None:
    """Now rather than at the first run, which may be offline."""
    from mlx_magistral.tokenizer_source import find_tokenizer

    try:
        find_tokenizer(folder)
    except MagistralError as error:
        click.echo(str(error), err=True)


def _check_disk(repository: "Repository", force: bool) -> None:
    from mlx_magistral.hub_download import cache_folder

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


def _check_memory(model: str, force: bool) -> None:
    from mlx_magistral.errors import MemoryPlanError
    from mlx_magistral.hub_headers import read_remote
    from mlx_magistral.memory.machine import this_machine
    from mlx_magistral.memory.plan import make_plan, require_fit
    from mlx_magistral.model.config import DEFAULT_CONTEXT

    remote = read_remote(model)
    context = min(DEFAULT_CONTEXT, remote.config.max_position_embeddings or DEFAULT_CONTEXT)
    plan = make_plan(remote.config, remote.weight_bytes, this_machine(), context)
    try:
        require_fit(remote.config, plan)
    except MemoryPlanError as error:
        # A source for convert need not fit; that is what --force is for.
        if not force:
            raise MemoryPlanError(
                f"{error} To download it all the same, as for `mlx-magistral convert`, add --force."
            ) from error
        click.echo(str(error), err=True)


def _suggest(as_json: bool) -> None:
    from mlx_magistral.memory.known import MAGISTRAL_SMALL
    from mlx_magistral.memory.machine import this_machine
    from mlx_magistral.memory.plan import longest_context, make_plan
    from mlx_magistral.memory.sizes import weight_bytes
    from mlx_magistral.model.config import DEFAULT_CONTEXT

    machine = this_machine()
    rows = []
    for bits in _SUGGESTED_BITS:
        nbytes = weight_bytes(MAGISTRAL_SMALL, bits)
        plan = make_plan(MAGISTRAL_SMALL, nbytes, machine, DEFAULT_CONTEXT)
        longest = longest_context(MAGISTRAL_SMALL, nbytes, machine, plan.kv_bits, DEFAULT_CONTEXT)
        rows.append({"bits": bits, "weight_bytes": nbytes, "context_tokens": longest})
    best = next((row for row in rows if row["context_tokens"] == DEFAULT_CONTEXT), None)
    best = best or max(rows, key=lambda row: row["context_tokens"])
    suggested = best["bits"] if best["context_tokens"] else None
    if as_json:
        limit = machine.limit_bytes
        click.echo(json.dumps({"limit_bytes": limit, "choices": rows, "suggested_bits": suggested}))
        return
    click.echo(f"{machine.name}: {machine.limit_bytes / 1e9:.1f} GB for MLX. Magistral Small:")
    for row in rows:
        size, tokens = row["weight_bytes"] / 1e9, row["context_tokens"]
        fits = f"up to {tokens:,} tokens" if tokens else "does not fit"
        click.echo(f"  {row['bits']}-bit  {size:5.1f} GB  {fits}")
    if suggested is None:
        raise UsageError(
            "None fits this machine. nano runs anywhere: mlx-magistral generate -m nano"
        )
    click.echo(
        f"Suggested: {suggested} bits. Pull a conversion of that size by its name, or make it "
        f"from the original (47 GB to download, once):\n"
        f"  mlx-magistral convert {_ORIGINAL} magistral-{suggested}bit --bits {suggested}"
    )
