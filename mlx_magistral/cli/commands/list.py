"""``mlx-magistral list``: the models on this disk."""

import click

from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.options import debug_option


@click.command()
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="Names alone, a line each.")
@debug_option
def command(as_json: bool, quiet: bool) -> None:
    """List nano, the hub's cache and the folders you converted or made the default.

    The default has a star. GB are on disk; bits are those of the weights. Every command takes a
    model by the name that stands here, from any folder.

    \b
      mlx-magistral list
      mlx-magistral list --json
    """
    from mlx_magistral.hub.catalog import is_default, local_models

    models = local_models()
    if as_json:
        rows = [
            {
                "name": each.name,
                "folder": str(each.folder),
                "origin": each.origin,
                "bytes": each.nbytes,
                "bits": each.bits,
                "is_complete": each.is_complete,
                "is_default": is_default(each),
            }
            for each in models
        ]
        echo_json({"models": rows})
        return
    for each in models:
        if quiet:
            click.echo(each.name)
            continue
        mark = "*" if is_default(each) else " "
        # The name is last: where it does not fit it has a line of its own.
        echo(f"{mark} {each.nbytes / 1e9:7.3f} GB {each.bits:>3}-bit  {each.name}", 2)
        if not each.is_complete:
            step = f"mlx-magistral pull {each.name}" if each.origin == "hub" else "convert again"
            echo(f"  incomplete; to go on: {step}", 4)
    if len(models) == 1 and not quiet:
        note = "nano is a demonstration. What fits this machine: mlx-magistral pull"
        echo(note, err=True)
