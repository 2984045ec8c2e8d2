"""How fast this machine makes replies, measured for a moment before a run begins."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mlx_magistral.batching.pool import Job, ReplyPool
from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.events import Event

# From when every reply has begun: so many tokens of each, and no less than this time.
_TOKENS_EACH = 16
_LEAST_S = 1.0
# Whatever has come by then has to do.
_MOST_S = 90.0


class _Enough(Exception):
    """The replies on their way need not be finished."""


class _Meter:
    """Counts events, which are tokens but for the last few of a text, on the engine's thread."""

    def __init__(self, width: int) -> None:
        self.began = time.monotonic()
        self._width = width
        self._started: set[int] = set()
        self._count = 0
        self._window: tuple[float, int] | None = None
        self._last = self.began

    def watch(self, number: int, event: Event) -> None:
        self._last = time.monotonic()
        if not self._started:
            self.began = self._last
        self._count += 1
        self._started.add(number)
        if self._window is None and len(self._started) == self._width:
            self._window = (self._last, self._count)

    def require_more(self) -> None:
        """Raises _Enough when what was seen says how fast it is."""
        now = time.monotonic()
        if self._window is None:
            is_enough = now - self.began > _MOST_S
        else:
            start, before = self._window
            seen = self._count - before
            is_enough = now - start > _MOST_S or (
                seen >= _TOKENS_EACH * self._width and now - start >= _LEAST_S
            )
        if is_enough:
            raise _Enough

    @property
    def tokens_per_s(self) -> float:
        """While all replies were on their way, else of everything, prompts included."""
        start, before = self._window or (self.began, 0)
        if self._count - before < _TOKENS_EACH * self._width:
            start, before = self.began, 0
        return max(self._count - before, 1) / max(self._last - start, 1e-3)


def measure_speed(model: Magistral, width: int, asked: Sequence[Mapping[str, Any]]) -> float:
    """Tokens a second of ``width`` replies at once, by questions as they will be asked.

    Prompts are read before the count begins: they are nothing beside thousands of tokens. Replies
    that are shorter than that are made whole, and timed with their prompts.
    """
    meter = _Meter(width)
    jobs = [
        Job(number, asked[number % len(asked)], partial(meter.watch, number))
        for number in range(width)
    ]
    with ReplyPool(model, width) as pool:
        try:
            for _ in pool.make(jobs, meter.require_more):
                pass
        except _Enough:
            pass
    return meter.tokens_per_s
