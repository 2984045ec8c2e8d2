"""``mlx-magistral rm``: a model off this disk."""

import shutil
import sys

import click

from mlx_magistral.cli.layout import echo_json
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option
from mlx_magistral.errors import MagistralError, UsageError


@click.command()
@click.argument("model", shell_complete=complete_model)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object; needs --yes.")
@debug_option
def command(model: str, yes: bool, as_json: bool) -> int:
    """Delete MODEL, by any name that list shows: of the hub's cache, or a folder of a model alone.

    Asks first. Other programs share the hub's cache, so a model they use is gone for them too.

    \b
      mlx-magistral rm someone/magistral-4bit
      mlx-magistral rm magistral-4bit --yes
    """
    from mlx_magistral.hub.catalog import folder_bytes, what_to_remove
    from mlx_magistral.hub.known_folders import forget_folder
    from mlx_magistral.settings import change_setting, read_settings

    (folder,) = what_to_remove(model)
    nbytes = folder_bytes(folder)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise UsageError(f"Deleting {folder} needs a yes. Add --yes.")
        if not click.confirm(f"Delete {folder} ({nbytes / 1e9:.3f} GB)?", err=True):
            return 1
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise MagistralError(f"{folder} was not deleted whole ({error}).") from error
    forget_folder(folder)
    was_default = read_settings().get("model") in (model, str(folder))
    if was_default:
        change_setting("model", None)
    if as_json:
        freed = {"folder": str(folder), "freed_bytes": nbytes, "was_default": was_default}
        echo_json(freed)
        return 0
    click.echo(f"Deleted {folder}: {nbytes / 1e9:.3f} GB freed.")
    if was_default:
        click.echo("It was the default, which is nano again. Set one: mlx-magistral use", err=True)
    return 0
