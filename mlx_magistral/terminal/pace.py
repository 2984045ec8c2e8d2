"""Pace: how often something is drawn that changes all the time."""

import time
from collections.abc import Callable

# Drawn at most so often, and for a tenth of the time: a long answer takes longer to render, and
# the decoding goes on meanwhile. In between, text is only collected.
_FRAME_S = 0.05
_DRAWING_SHARE = 0.1


class Pace:
    """Lets a drawing happen unless one did a moment ago."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._next_frame = float("-inf")

    def draw(self, draw: Callable[[], None]) -> None:
        now = self._clock()
        if now < self._next_frame:
            return
        draw()
        cost = self._clock() - now
        self._next_frame = now + max(_FRAME_S, cost / _DRAWING_SHARE)
