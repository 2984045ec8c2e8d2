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
    """Of one reply. Seconds are those that passes cost by the curve at hand."""

    def __init__(self) -> None:
        self._plain_s = 0.0
        self._window_s = WINDOW_S
        self._ahead_s = 0.0  # of plain decoding
        # From when on it was further ahead than at any later time, the furthest first. Each holds
        # until the next.
        self._peaks: deque[tuple[float, float]] = deque([(0.0, 0.0)])

    def passed(self, seconds: float) -> None:
        """An id came that takes plain decoding so long."""
        self._plain_s += seconds
        self._window_s = max(WINDOW_S, WINDOW_PASSES * seconds)

    def gained(self, seconds: float) -> None:
        """A pass with guesses gave its ids so much sooner, or later where it is negative."""
        self._ahead_s += seconds
        while self._peaks and self._peaks[-1][1] <= self._ahead_s:
            self._peaks.pop()
        self._peaks.append((self._plain_s, self._ahead_s))

    def may_lose(self, seconds: float) -> bool:
        """Whether a pass may lose so much if no guess of it comes true."""
        while len(self._peaks) > 1 and self._peaks[1][0] < self._plain_s - self._window_s:
            self._peaks.popleft()
        behind = self._peaks[0][1] - self._ahead_s
        return behind + seconds <= MOST_SLOWER * self._window_s
