"""Ledger: guesses may put a reply behind plain decoding by 2 % of any ten seconds, and no more.

How often guesses came true lately says which are worth their time. It is late where a text turns
from one that is guessed well into one that is not, again and again; what that may cost is bounded
here, by the costs of passes and not by a clock, so that runs are alike.
"""

from collections import deque

# Of any so many seconds of plain decoding guesses may take this share more. Where so many passes
# take longer it is those: of fewer one draft would be too much already.
WINDOW_S = 10.0
WINDOW_PASSES = 100
MOST_SLOWER = 0.02


class Ledger:
    """Of one reply. Seconds are those that passes cost by the curve at hand, places count its ids,
    so that nothing is to be done for an id that comes without guesses."""

    def __init__(self) -> None:
        self._ahead_s = 0.0  # of plain decoding
        # From which place on it was further ahead than at any later one, the furthest first. Each
        # holds until the next.
        self._peaks: deque[tuple[int, float]] = deque([(0, 0.0)])

    def gained(self, place: int, seconds: float) -> None:
        """A pass with guesses gave its ids so much sooner, or later where it is negative."""
        self._ahead_s += seconds
        while self._peaks and self._peaks[-1][1] <= self._ahead_s:
            self._peaks.pop()
        self._peaks.append((place, self._ahead_s))

    def may_lose(self, place: int, seconds: float, plain_s: float) -> bool:
        """Whether a pass may lose so much if no guess of it comes true; a plain one takes
        ``plain_s``."""
        window = max(WINDOW_S / plain_s, WINDOW_PASSES)
        while len(self._peaks) > 1 and self._peaks[1][0] < place - window:
            self._peaks.popleft()
        behind = self._peaks[0][1] - self._ahead_s
        return behind + seconds <= MOST_SLOWER * window * plain_s
