"""A download on stderr: a live bar with rate and time left, or a line a file where none can be."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING

import click

from mlx_magistral.terminal.display import can_redraw

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

# The first seconds say nothing of the pace.
_LEFT_AFTER_S = 2.0


class DownloadProgress:
    """Give ``report`` to ``download``; use as a context manager.

    ``present_bytes`` of the total are here from an earlier run: they are shown, and are no part of
    the rate.
    """

    def __init__(self, name: str, total_bytes: int, present_bytes: int, *, is_shown: bool) -> None:
        self._name = name
        self._total = total_bytes
        self._present = present_bytes
        self._is_shown = is_shown
        self._first: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._whole: set[str] = set()
        self._bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> "DownloadProgress":
        if self._is_shown and can_redraw(sys.stderr):
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TransferSpeedColumn,
            )

            from mlx_magistral.terminal.time_left_column import TimeLeftColumn
            from mlx_magistral.terminal.times import TimeLeft

            console = Console(stderr=True)
            left = TimeLeftColumn(TimeLeft(_LEFT_AFTER_S))
            columns = (DownloadColumn(), TransferSpeedColumn(), left)
            # A bar beside the figures needs room, and so does its name; the figures come first.
            bar_columns = (TextColumn("downloading"), BarColumn(bar_width=20))
            shown = columns if console.width < 76 else (*bar_columns, *columns)
            bar = Progress(*shown, console=console)
            self._bar = bar, bar.add_task("", total=self._total, completed=self._present)
            bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar[0].stop()
        if isinstance(error, KeyboardInterrupt):
            click.echo(
                f"Stopped; what has arrived is kept. To go on: mlx-magistral pull {self._name}",
                err=True,
            )

    def report(self, name: str, done: int, total: int) -> None:
        """Bytes of one file that are here, of its total."""
        self._first.setdefault(name, done)
        self._done[name] = done
        if self._bar is not None:
            moved = sum(self._done.values()) - sum(self._first.values())
            self._bar[0].update(self._bar[1], completed=self._present + moved)
        if done < total or name in self._whole:
            return
        self._whole.add(name)
        if self._bar is None and self._is_shown:
            click.echo(f"{name}: {total / 1e6:.1f} MB", err=True)
