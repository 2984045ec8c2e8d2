"""``mlx-magistral pull``: a model from the hub, after a look at disk and memory."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option, output_options, refuse_both
from mlx_magistral.errors import HubError

if TYPE_CHECKING:
    from mlx_magistral.memory.recommend import Recommendation

_NONE_FITS = (
    "No conversion at the hub fits this machine. `mlx-magistral pull -v` says which, and why."
)


@click.command()
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("--yes", "-y", is_flag=True, help="Without MODEL: take the first that fits.")
@click.option("--force", is_flag=True, help="Download although disk or memory look too small.")
@click.option("--verify", is_flag=True, help="Hash every file that is here already.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@output_options
@debug_option
def command(
    model: str | None,
    yes: bool,
    force: bool,
    verify: bool,
    as_json: bool,
    is_quiet: bool,
    is_verbose: bool,
) -> None:
    """Download MODEL, a hub id, into the hub's cache; without MODEL offer those that fit here.

    What this program does not run is refused before its weights are fetched. One weight format is
    taken, checked by hash. Run the same command again after a cut: it goes on where it stopped. Of
    a model that is here, files that are cut or damaged are fetched again. Access tokens are those
    of `hf auth login` or HF_TOKEN.

    Without MODEL the hub is asked for MLX conversions of Magistral Small, and their headers are
    read. The one that you choose becomes the default model where none is set.

    \b
      mlx-magistral pull
      mlx-magistral pull --yes
      mlx-magistral pull someone/magistral-4bit --force
      mlx-magistral pull someone/magistral-4bit --verify
    """
    refuse_both(is_quiet=is_quiet, is_verbose=is_verbose)
    is_chosen = model is None
    if model is None:
        model = _choose(yes=yes, as_json=as_json, is_quiet=is_quiet, is_verbose=is_verbose)
        if model is None:
            return
    is_shown = not (is_quiet or as_json)
    folder, nbytes = _pull(
        model, force=force, verify=verify, is_shown=is_shown, is_verbose=is_verbose and is_shown
    )
    if as_json:
        echo_json({"model": model, "folder": str(folder), "fetched_bytes": nbytes})
    else:
        click.echo(folder)
    if is_chosen:
        _make_default(model, is_shown=is_shown)


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


def _choose(*, yes: bool, as_json: bool, is_quiet: bool, is_verbose: bool) -> str | None:
    """The conversion to fetch; None where what fits was shown, or a model was converted here."""
    from mlx_magistral.cli.offering import choose, echo_offers, find_offers

    if not (is_quiet or as_json):
        echo("Asking the hub for conversions of Magistral Small.", err=True)
    found = find_offers()
    if yes:
        if not found.offers:
            raise HubError(found.problem or _NONE_FITS)
        first = found.offers[0]
        if not (is_quiet or as_json):
            echo(f"{first.conversion.name}: {first.describe()}.", err=True)
        return first.conversion.name
    if as_json:
        echo_json(found.as_object())
        return None
    echo_offers(found, is_verbose=is_verbose)
    if found.problem is not None or (not found.offers and found.recommendation is None):
        return None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        echo("To take one: mlx-magistral pull NAME, or --yes for the first.", err=True)
        return None
    model = choose(found)
    if model is None and found.recommendation is not None:
        _convert(found.recommendation)
    return model


def _convert(recommendation: "Recommendation") -> None:
    from mlx_magistral.cli.commands.convert import command as convert
    from mlx_magistral.cli.offering import conversion_command

    arguments = conversion_command(recommendation)
    click.echo(f"mlx-magistral convert {' '.join(arguments)}")
    convert.main(arguments, prog_name="mlx-magistral convert", standalone_mode=False)
    _make_default(str(Path(arguments[1]).resolve()), is_shown=True)


def _make_default(model: str, *, is_shown: bool) -> None:
    """Let commands take what was chosen, unless the user has set another."""
    from mlx_magistral.hub.resolve import NANO, default_model
    from mlx_magistral.settings import change_setting

    if default_model() == NANO:
        change_setting("model", model)
        note = f"{model} is the default model. To talk to it: mlx-magistral chat"
    else:
        note = f"To talk to it: mlx-magistral chat -m {model}"
    if is_shown:
        click.echo(note, err=True)
