"""Lines that stay readable in any window: broken between words on a terminal, whole in a pipe."""

import sys
import textwrap

import click

from mlx_magistral.terminal.size import terminal_size

# Tables of ours need so many columns; in narrower windows they become lists.
TABLE_COLUMNS = 90


def window_columns(*, err: bool = False) -> int | None:
    """The terminal's width; None where the stream is none, and lines may be of any length."""
    stream = sys.stderr if err else sys.stdout
    return max(terminal_size()[0], 20) if stream.isatty() else None


def echo(text: str, hanging: int = 0, *, err: bool = False) -> None:
    """Print a line; what has to go on below begins ``hanging`` columns in.

    Longer words, such as paths, are left whole, so that they can be copied.
    """
    columns = window_columns(err=err)
    if columns is None or len(text) < columns:
        click.echo(text, err=err)
        return
    lead = len(text) - len(text.lstrip())
    lines = textwrap.wrap(
        text.lstrip(),
        columns - 1,
        initial_indent=" " * lead,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    click.echo("\n".join(lines), err=err)


def echo_fact(key: str, value: object, width: int) -> None:
    """``key`` in a column ``width`` wide and its value; in a narrow window as running text."""
    columns = window_columns()
    if columns is not None and columns < 3 * width:
        echo(f"{key}: {' '.join(str(value).split())}", 2)
    else:
        echo(f"{key:{width}} {value}", width + 1)
