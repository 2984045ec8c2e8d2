"""A conversion on the terminal: the plan before it starts, then one live line with an ETA.

Everything goes to stderr. Without a terminal there is no live line, only the plan and, after the
first tensors, one line with the time that the rest will take.
"""

import re
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from mlx_magistral.terminal.time_left_column import TimeLeftColumn
from mlx_magistral.terminal.times import SteppedTimeLeft

from .memory import readable_bytes
from .progress import Forecast, Watcher

# The estimate waits for a whole layer of a large model after its embedding, and for a steady pace.
_ESTIMATE_AFTER_SHARE = 0.05
_ESTIMATE_AFTER_SECONDS = 5.0
_LAYER = re.compile(r"model\.layers\.\d+\.")
# A line from which on there is room for a bar and two times.
_WIDE_COLUMNS = 76


class ConversionDisplay(Watcher):
    """Draws what a Watcher is told; use as a context manager, so that the live line ends."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        is_quiet: bool = False,
        is_verbose: bool = False,
    ) -> None:
        self._clock = clock
        self._is_verbose = is_verbose
        self._tensor = ""
        self._weights = 0
        self._done = 0
        self._step: str | None = None
        self._left = SteppedTimeLeft(_ESTIMATE_AFTER_SECONDS, _ESTIMATE_AFTER_SHARE)
        self._is_estimated = False
        self._console = Console(stderr=True, highlight=False, quiet=is_quiet)
        # A log keeps each line whole; a terminal's lines break between words.
        self._console.soft_wrap = not self._console.is_terminal
        name = TextColumn(
            "{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
        )
        share = TaskProgressColumn(table_column=Column(no_wrap=True))
        left = TimeLeftColumn(self._left)
        columns: tuple[ProgressColumn, ...] = (name, share, left)
        if self._console.width >= _WIDE_COLUMNS:
            passed = (TimeElapsedColumn(), TextColumn("elapsed"))
            columns = (name, BarColumn(bar_width=20), share, *passed, left)
        self._progress = Progress(
            *columns,
            console=self._console,
            disable=is_quiet or not self._console.is_terminal,
            transient=True,
            expand=True,
            get_time=clock,
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> "ConversionDisplay":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def foretold(self, forecast: Forecast) -> None:
        plan, seconds = forecast.plan, forecast.seconds
        pace = "" if seconds is None else f" and {_readable_seconds(seconds)} at the pace of now"
        self._console.print(
            f"{readable_bytes(forecast.source_bytes)} -> {readable_bytes(plan.nbytes)}, "
            f"{plan.bits_per_weight:.2f} bits a weight, {_shards(len(plan.shards))}; needs about "
            f"{readable_bytes(forecast.memory_bytes)} of memory{pace}"
        )
        for warning in forecast.warnings:
            self._console.print(f"warning: {warning}")
        self._progress.update(self._task, total=plan.weights)
        self._weights = plan.weights
        self._left.has_steps = seconds is not None

    def resumed(self, shards: int, weights: int) -> None:
        if shards:
            self._console.print(f"finished already and still hashing right: {_shards(shards)}")
            self._progress.advance(self._task, weights)
            self._done += weights
        self._left.begin_again()  # hashing what was there is no part of the pace
        self._left.seconds(self._clock(), self._done, self._weights)

    def expected(self, amount: int) -> None:
        self._progress.reset(self._task, total=amount)
        self._done = self._weights = 0
        self._left.has_steps = False
        self._left.begin_again()

    def started(self, tensor: str) -> None:
        if self._is_verbose and tensor != self._tensor:
            self._tensor = tensor
            self._console.print(tensor)
        if self._left.has_steps:
            self._notice_step(tensor)
        # Every name has these, and the line has room for the rest alone.
        name = tensor.removeprefix("model.").removesuffix(".weight").removesuffix(".safetensors")
        self._progress.update(self._task, description=name)

    def _notice_step(self, tensor: str) -> None:
        """Layers are steps, and so is what follows them.

        The embedding is written in seconds, before them: it says nothing of their pace.
        """
        layer = _LAYER.match(tensor)
        step = layer.group() if layer else tensor
        if step != self._step and (layer or self._step):
            self._step = step
            self._left.step_begins(self._clock(), self._done)

    def advanced(self, weights: int) -> None:
        self._progress.advance(self._task, weights)
        self._done += weights
        if self._is_estimated or not self._weights:
            return
        left = self._left.seconds(self._clock(), self._done, self._weights)
        if left is None:
            return
        self._is_estimated = True
        if left > _ESTIMATE_AFTER_SECONDS:
            self._console.print(f"about {_readable_seconds(left)} to go for the weights")


def _shards(count: int) -> str:
    return "1 shard" if count == 1 else f"{count} shards"


def _readable_seconds(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
