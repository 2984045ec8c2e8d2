"""Steps: what a long command is doing, on stderr."""

import sys
from types import TracebackType
from typing import Self

import click

from mlx_magistral.cli.options import refuse_both
from mlx_magistral.terminal.display import can_redraw
from mlx_magistral.terminal.size import terminal_size


class Steps:
    """One live line on a terminal; a line a step where verbose; nothing where quiet.

    Use as a context manager, so that the live line is wiped. Raises UsageError for both at once.
    """

    def __init__(self, *, is_quiet: bool, is_verbose: bool) -> None:
        refuse_both(is_quiet=is_quiet, is_verbose=is_verbose)
        self._is_verbose = is_verbose
        self._is_live = can_redraw(sys.stderr) and not is_quiet and not is_verbose
        self._step = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wipe()

    def started(self, step: str) -> None:
        """A step begins; one that is told again goes on."""
        if step == self._step:
            return
        self._wipe()
        self._step = step
        if self._is_verbose:
            click.echo(step, err=True)
        elif self._is_live:
            sys.stderr.write(step[: terminal_size()[0] - 1])
            sys.stderr.flush()

    def _wipe(self) -> None:
        if self._is_live and self._step:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._step = ""
