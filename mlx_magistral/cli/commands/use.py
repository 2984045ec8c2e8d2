"""``mlx-magistral use``: the model when none is named."""

import click

from mlx_magistral.cli.layout import echo_json
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option


@click.command()
@click.argument("model", shell_complete=complete_model)
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@debug_option
def command(model: str, as_json: bool) -> None:
    """Make MODEL, a name that list shows, a folder or a hub id, the default of every command.

    --model and MLX_MAGISTRAL_MODEL win over it; `mlx-magistral config unset model` undoes it.

    \b
      mlx-magistral use nano
      mlx-magistral use magistral-4bit
    """
    from mlx_magistral.hub.known_folders import remember_folder
    from mlx_magistral.hub.resolve import NANO, find_local, named_folder
    from mlx_magistral.settings import change_setting

    folder = find_local(model)
    if model != NANO and folder is not None and named_folder(model) is not None:
        from mlx_magistral.model.checkpoint import open_checkpoint

        open_checkpoint(folder)  # refuses what would fail at the next command
        remember_folder(folder)
        # The default must mean the same from every folder.
        model = str(folder.resolve())
    change_setting("model", model)
    if as_json:
        echo_json({"model": model, "is_here": folder is not None})
        return
    click.echo(f"Default model: {model}")
    if folder is None:
        click.echo(f"It is not on this disk yet. Run: mlx-magistral pull {model}", err=True)
