"""WindowCache: the newest keys and values of a head, by their places in the text.

Places may be left out: a head that joins a text late, or goes on from a prefix of which nothing was
kept, begins where it is. Older rows than the window are dropped, and cost nothing.
"""

from collections.abc import Sequence

import mlx.core as mx

from mlx_magistral.model.attending import Mask, attend
from mlx_magistral.model.cache import KVCache

# As far as published heads were trained, and further than guesses look back for.
WINDOW_TOKENS = 4096
# Rows that may be kept beyond the window before the oldest are dropped, all at once.
_SLACK_TOKENS = 1024


class WindowCache(KVCache):
    """Of one layer; ``offset`` rows are kept, and the next one stands at ``place`` of the text."""

    def __init__(self, window: int = WINDOW_TOKENS) -> None:
        super().__init__()
        self.place = 0
        self._window = window

    def append(self, keys: mx.array, values: mx.array) -> None:
        """Keep rows (1, n_kv_heads, L, head_dim), turned by their places already."""
        if self.offset > self._window + _SLACK_TOKENS:
            self._drop_oldest()
        self._append(keys, values)
        self.place += keys.shape[2]

    def look(self, q: mx.array, scale: float) -> mx.array:
        """Attend from the newest rows' queries (1, n_heads, L, head_dim), each over its window."""
        keys, values = self._kept()
        rows, kept = q.shape[2], keys.shape[2]
        seen = min(kept, self._window + rows - 1)
        keys, values = keys[:, :, kept - seen :], values[:, :, kept - seen :]
        mask: Mask = None if rows == 1 else "causal"
        if rows > 1 and seen > self._window:
            places, newest = mx.arange(seen)[None], mx.arange(seen - rows, seen)[:, None]
            mask = (places <= newest) & (places > newest - self._window)
        return attend(q, keys, values, scale=scale, mask=mask)

    def trim(self, n: int) -> int:
        """Drop the newest rows."""
        dropped = super().trim(n)
        self.place -= dropped
        return dropped

    def before(self, place: int) -> tuple[mx.array, ...] | None:
        """Copies of the rows before a place; None where all that is kept is newer, or older."""
        newer = self.place - place
        if newer < 0 or newer >= self.offset:
            return None
        return self.export(self.offset - newer)

    def go_on(self, arrays: Sequence[mx.array], place: int) -> None:
        """Hold what ``before(place)`` gave."""
        self.restore(arrays)
        self.place = place

    def _drop_oldest(self) -> None:
        start = self.offset - self._window
        kept = [mx.contiguous(array[..., start:, :]) for array in self._kept()]
        self.restore(kept)
