"""Tally: how far many replies are, how fast they come, and how long the rest takes."""

import time
from collections.abc import Callable

from mlx_magistral.terminal.times import duration


class Tally:
    """Counts replies and tokens from the moment it is made; ``line`` says how it stands."""

    def __init__(
        self, total: int, earlier: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.done = earlier
        self.tokens = 0
        self._earlier = earlier
        self._clock = clock
        self._started = clock()

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return self._clock() - self._started

    @property
    def made(self) -> int:
        """Replies that were made since, those from an earlier run left out."""
        return self.done - self._earlier

    @property
    def tokens_per_s(self) -> float:
        """Of all replies together."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    def line(self) -> str:
        """12 of 96 replies, 3.1 a second, 412 tok/s, about 0:27 left."""
        parts = [f"{self.done:,} of {self.total:,} replies"]
        if self.made and self.seconds > 0:
            rate = self.made / self.seconds
            parts.append(f"{rate:.1f} a second" if rate >= 1 else f"{rate * 60:.1f} a minute")
        if self.tokens:
            parts.append(f"{self.tokens_per_s:,.0f} tok/s")
        if self.made and self.done < self.total:
            left = (self.total - self.done) * self.seconds / self.made
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)
