"""``mlx-magistral pull``: a model from the hub, after a look at disk and memory."""

from pathlib import Path

import click

from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option, output_options, refuse_both


@click.command()
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("--force", is_flag=True, help="Download although disk or memory look too small.")
@click.option("--verify", is_flag=True, help="Hash every file that is here already.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@output_options
@debug_option
def command(
    model: str | None,
    force: bool,
    verify: bool,
    as_json: bool,
    is_quiet: bool,
    is_verbose: bool,
) -> None:
    """Download MODEL, a hub id, into the hub's cache; without MODEL say what suits this machine.

    What this program does not run is refused before its weights are fetched. One weight format is
    taken, checked by hash. Run the same command again after a cut: it goes on where it stopped. Of
    a model that is here, files that are cut or damaged are fetched again. Access tokens are those
    of `hf auth login` or HF_TOKEN.

    \b
      mlx-magistral pull
      mlx-magistral pull mistralai/Magistral-Small-2507
      mlx-magistral pull someone/magistral-4bit --force
      mlx-magistral pull someone/magistral-4bit --verify
    """
    if model is None:
        _suggest(as_json)
        return
    refuse_both(is_quiet=is_quiet, is_verbose=is_verbose)
    is_shown = not (is_quiet or as_json)
    folder, nbytes = _pull(
        model, force=force, verify=verify, is_shown=is_shown, is_verbose=is_verbose and is_shown
    )
    if as_json:
        echo_json({"model": model, "folder": str(folder), "fetched_bytes": nbytes})
    else:
        click.echo(folder)


def _pull(
    model: str, *, force: bool, verify: bool, is_shown: bool, is_verbose: bool
) -> tuple[Path, int]:
    """The model's folder, and the bytes that were fetched for it."""
    from mlx_magistral.cli.fetching import check_memory, fetch_examined, mend_model
    from mlx_magistral.hub.examine import examine
    from mlx_magistral.hub.resolve import find_local

    if (folder := find_local(model)) is not None:
        nbytes = mend_model(
            model,
            folder,
            has_hashes=verify,
            force=force,
            is_shown=is_shown,
            is_verbose=is_verbose,
        )
        return folder, nbytes
    examined = examine(model)
    check_memory(examined.checkpoint, force)
    pulled = fetch_examined(model, examined, force=force, is_shown=is_shown, is_verbose=is_verbose)
    if examined.no_tokenizer is not None:
        click.echo(examined.no_tokenizer, err=True)
    return pulled


def _suggest(as_json: bool) -> None:
    from mlx_magistral.cli.recommending import (
        ORIGINAL,
        as_object,
        echo_choices,
        echo_recommendation,
    )
    from mlx_magistral.memory.known import MAGISTRAL_SMALL
    from mlx_magistral.memory.machine import this_machine
    from mlx_magistral.memory.recommend import choices, recommend

    machine, among = this_machine(), choices(MAGISTRAL_SMALL)
    found = recommend(MAGISTRAL_SMALL, machine, among)
    if as_json:
        limit = machine.limit_bytes
        echo_json({"limit_bytes": limit, "recommendation": as_object(found)})
        return
    echo(f"{machine.name}: {machine.limit_bytes / 1e9:.1f} GB for MLX. Magistral Small, in GB:")
    echo_choices(MAGISTRAL_SMALL, machine, among)
    echo_recommendation(found, machine, ORIGINAL)
