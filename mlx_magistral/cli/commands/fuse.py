"""``mlx-magistral fuse``: an adapter worked into a model's weights, as a folder of its own."""

from typing import Any

import click

from mlx_magistral.cli.commands.convert import conversion_options, convert
from mlx_magistral.cli.model_names import complete_model


@click.command()
@click.argument("model", shell_complete=complete_model)
@click.argument("adapter", type=click.Path(exists=True, file_okay=False))
@click.argument("output")
@conversion_options(bits="16")
def command(model: str, adapter: str, output: str, **options: Any) -> None:
    """Write MODEL with ADAPTER worked in as the new folder OUTPUT, for programs without adapters.

    In 16 bits the result answers as --adapter does. Any recipe of `convert` quantizes it in the
    same go; few bits round much of an adapter away, which `compare` shows. The memory is that of
    `convert`, and what was killed goes on.

    \b
      mlx-magistral fuse magistral-4bit my-adapter magistral-mine
      mlx-magistral fuse mistralai/Magistral-Small-2507 my-adapter mine-6bit --bits 6
    """
    convert(model, output, adapter, **options)
