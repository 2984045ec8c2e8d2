"""Lines that stay readable in any window: broken between words on a terminal, whole in a pipe."""

import json
import math
import sys
import textwrap
from typing import Any

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


def echo_json(value: Any) -> None:
    """Print a value as one line of JSON, null where a number is infinite or none.

    JSON has no NaN: what Python writes for it no other reader takes.
    """
    value = _finite(value)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file's name that is no UTF-8
        text = json.dumps(value, allow_nan=False)
    click.echo(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
