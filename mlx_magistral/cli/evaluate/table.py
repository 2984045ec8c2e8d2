"""Rows under headings: a table, or in a narrow window a list."""

from collections.abc import Sequence

from mlx_magistral.cli.layout import echo, window_columns

# Between two columns, as rich draws a table without a box.
_GAP = 2


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first column to the left, the others to the right; empty columns are left out."""
    used = [i for i in range(len(headings)) if any(row[i] for row in rows)]
    widths = {i: max(len(headings[i]), *(len(row[i]) for row in rows)) for i in used}
    columns = window_columns()
    if columns is not None and columns < sum(widths.values()) + _GAP * len(used):
        for row in rows:
            echo(f"{row[0]}:")
            echo("  " + ", ".join(f"{headings[i]} {row[i]}" for i in used[1:] if row[i]), 2)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for i in used:
        table.add_column(headings[i], justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*[row[i] for i in used])
    # In a pipe lines may be of any length.
    Console(width=sum(widths.values()) + _GAP * len(used) + 1, markup=False).print(table)
