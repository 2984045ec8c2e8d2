"""How much of a known prefix a prompt may continue from."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """A prompt whose KV is looked up; at least its last id is left for the model.

    ``ends`` is where the passes over it end, for a continuation that is exact (passes.py); None
    takes all common ids, which are the same up to rounding.
    """

    tokens: "array[int]"
    ends: Sequence[int] | None = None

    def length(self, known: "array[int]") -> int:
        """How many ids of a known prefix, which ended with a pass, it continues from."""
        common = common_length(known, self.tokens)
        if self.ends is None:
            return min(common, max(len(self.tokens) - 1, 0))
        # An end inside is both prompts' only if they share the id after it too.
        return last_end(self.ends, common if common == len(known) else common - 1)


def last_end(ends: Sequence[int], limit: int) -> int:
    """The last of ascending ``ends`` up to ``limit``, 0 where there is none."""
    index = bisect_right(ends, limit)
    return ends[index - 1] if index else 0


def packed(tokens: Iterable[int]) -> "array[int]":
    """Ids in 32 bits each, which compare as memory does.

    Raises TypeError or OverflowError for what is none.
    """
    return array("i", tokens)


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many ids two sequences of a kind share from the start: by halves, which compare in C."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle)
    return low
