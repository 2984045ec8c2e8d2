"""HeadPrefixes: a head's rows of the latest prompts, in memory, for replies that go on from them.

The target's KV of a prompt is kept by memory/prefixes; the states that a head would need are not,
being three times as many numbers as a layer passes on. What the head has made of them is small: of
one layer, and of a window.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlx_magistral.memory.prefixes.match import common_length, packed
from mlx_magistral.model.eagle.window import WindowCache

# Each is a window's keys and values of one layer: 21 MB of Magistral's.
MOST_PREFIXES = 4


@dataclass(frozen=True, eq=False)
class _Kept:
    tokens: "array[int]"
    arrays: tuple[mx.array, ...]
    place: int

    @property
    def start(self) -> int:
        """The place of its oldest row."""
        return self.place - self.arrays[0].shape[2]

    def end(self, tokens: Sequence[int]) -> int:
        """Up to where its rows are those of another text, 0 for none of them.

        A row is made of its own id and the one after it.
        """
        end = min(common_length(self.tokens, tokens) - 1, self.place)
        return end if end > self.start else 0


class HeadPrefixes:
    """At most ``most``, the latest used last."""

    def __init__(self, most: int = MOST_PREFIXES) -> None:
        self._most = most
        self._kept: list[_Kept] = []

    def add(self, tokens: Sequence[int], cache: WindowCache) -> None:
        """Keep a copy of all rows, which belong to these ids."""
        arrays = cache.before(cache.place)
        if arrays is None:
            return
        mx.async_eval(arrays)  # type: ignore[no-untyped-call]
        kept = _Kept(packed(tokens), arrays, cache.place)
        # A text that goes on takes the place of its beginning, unless that is out of its window.
        others = [
            each
            for each in self._kept
            if each.start < kept.start or each.end(kept.tokens) < each.place
        ]
        self._kept = [*others, kept][-self._most :]

    def fill(self, cache: WindowCache, tokens: Sequence[int], place: int) -> int:
        """Put the rows before ``place`` of a text into an empty cache; returns how many."""
        ids = packed(tokens[:place])
        kept = max(self._kept, key=lambda each: each.end(ids), default=None)
        if kept is None or not (end := kept.end(ids)):
            return 0
        self._kept.remove(kept)
        self._kept.append(kept)
        cache.go_on(kept.arrays, kept.place)
        cache.trim(kept.place - end)
        return cache.offset
