"""A download on stderr: a live bar with rate and time left, or a line a file where none can be."""

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class DownloadProgress:
    """Give ``report`` to ``download``; use as a context manager."""

    def __init__(self, total_bytes: int, *, is_shown: bool) -> None:
        self._total = total_bytes
        self._is_shown = is_shown
        self._done: dict[str, int] = {}
        self._whole: set[str] = set()
        self._bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> "DownloadProgress":
        if self._is_shown and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            console = Console(stderr=True)
            columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            # A bar beside the figures needs room; the figures come first.
            shown = columns if console.width < 60 else (BarColumn(), *columns)
            bar = Progress(*shown, console=console)
            self._bar = bar, bar.add_task("", total=self._total)
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

    def report(self, name: str, done: int, total: int) -> None:
        """Bytes of one file that are here, of its total."""
        is_whole_now = done == total and name not in self._whole
        self._done[name] = done
        if self._bar is not None:
            self._bar[0].update(self._bar[1], completed=sum(self._done.values()))
        elif self._is_shown and is_whole_now:
            click.echo(f"{name}: {total / 1e6:.1f} MB", err=True)
        if is_whole_now:
            self._whole.add(name)
