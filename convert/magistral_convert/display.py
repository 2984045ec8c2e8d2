"""A conversion on the terminal: the plan before it starts, then one live line with an ETA.

Everything goes to stderr. Without a terminal there is no live line, only the plan.
"""

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .memory import readable_bytes
from .plan import ConversionPlan
from .progress import Watcher


class ConversionDisplay(Watcher):
    """Draws what a Watcher is told; use as a context manager, so that the live line ends."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
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

    def planned(
        self, plan: ConversionPlan, source_bytes: int, memory_bytes: int, warnings: tuple[str, ...]
    ) -> None:
        self._console.print(
            f"{readable_bytes(source_bytes)} -> {readable_bytes(plan.nbytes)}, "
            f"{plan.bits_per_weight:.2f} bits a weight, {len(plan.shards)} shards; needs about "
            f"{readable_bytes(memory_bytes)} of memory"
        )
        for warning in warnings:
            self._console.print(f"warning: {warning}")
        self._progress.update(self._task, total=plan.weights)

    def resumed(self, shards: int, weights: int) -> None:
        if shards:
            self._console.print(f"{shards} shards are finished already and still hash right")
            self._progress.advance(self._task, weights)

    def started(self, tensor: str) -> None:
        self._progress.update(self._task, description=tensor)

    def advanced(self, weights: int) -> None:
        self._progress.advance(self._task, weights)
