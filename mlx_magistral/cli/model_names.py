"""Tab completion of model names, in any command that takes one."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def complete_model(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list["CompletionItem"]:
    """Names that ``--model`` takes, and folders; reads names alone."""
    from click.shell_completion import CompletionItem

    from mlx_magistral.hub.resolve import model_names

    names = [name for name in model_names() if name.startswith(incomplete)]
    # Folders first: in bash that item takes those before it away, and folders come where no
    # name fits.
    return [CompletionItem(incomplete, type="dir"), *map(CompletionItem, names)]
