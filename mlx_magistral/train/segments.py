"""SegmentCache: how examples of one pack attend, each to itself, with positions of its own.

A pack is rows of tokens, (rows, 1), as in a batch of replies (model/ragged.py); the model takes it
as it is. Ids that all examples begin with are rows of their own, in front, which each of them
attends to as to its own. It keeps nothing: all keys and values are those of the pass.
"""

from collections.abc import Sequence
from itertools import accumulate

import mlx.core as mx

from mlx_magistral.model.attending import Mask
from mlx_magistral.train.attention import trained_attention

# Examples whose lengths differ by less attend in one padded block: fewer, larger operations.
_PADDED_RATIO = 1.15


class SegmentCache:
    """One object serves all layers of a pass: ``shared`` rows, then segments of ``lengths``."""

    def __init__(self, lengths: Sequence[int], shared: int = 0) -> None:
        own = [shared + place for length in lengths for place in range(length)]
        self.offset = mx.array([*range(shared), *own])
        self._blocks = _blocks(lengths, shared)
        order = [row for block in self._blocks for row in block.rows]
        inverse = sorted(range(len(order)), key=order.__getitem__)
        self._is_in_order = order == inverse
        self._inverse = mx.array(inverse)

    def make_mask(self, N: int, return_array: bool = False, window_size: int | None = None) -> Mask:
        """None: each segment makes its own."""
        return None

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Not called: segments attend by themselves."""
        raise NotImplementedError

    def attend(
        self, q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Mask
    ) -> mx.array:
        """(rows, heads, 1, head_dim) in and out."""
        outs = [block.attend(q, k, v, scale) for block in self._blocks]
        out = outs[0] if len(outs) == 1 else mx.concatenate(outs, axis=0)
        return out if self._is_in_order else out[self._inverse]


class _Block:
    """Segments that attend in one operation, padded at their ends to the longest.

    Each sees the first ``shared`` rows of the pass before its own.
    """

    def __init__(self, starts: Sequence[int], lengths: Sequence[int], shared: int) -> None:
        self._shared = shared
        longest = max(lengths)
        self.rows = [
            row
            for start, length in zip(starts, lengths, strict=True)
            for row in range(start, start + length)
        ]
        self._shape = (len(starts), longest)
        self._is_whole = min(lengths) == longest and self.rows == list(
            range(self.rows[0], self.rows[-1] + 1)
        )
        self._first, self._end = self.rows[0], self.rows[-1] + 1
        # Padding repeats a segment's first row: no real query sees it, for it comes after them.
        self._index = mx.array(
            [
                start + place if place < length else start
                for start, length in zip(starts, lengths, strict=True)
                for place in range(longest)
            ]
        )
        self._real = mx.array(
            [
                number * longest + place
                for number, length in enumerate(lengths)
                for place in range(length)
            ]
        )

    def attend(self, q: mx.array, k: mx.array, v: mx.array, scale: float) -> mx.array:
        own_q, own_k, own_v = (self._gathered(each) for each in (q, k, v))
        if self._shared:
            own_k, own_v = self._after_shared(k, own_k), self._after_shared(v, own_v)
        out = trained_attention(own_q, own_k, own_v, scale)  # (segments, heads, longest, head_dim)
        flat = out.transpose(0, 2, 1, 3).reshape(-1, out.shape[1], 1, out.shape[3])
        return flat if self._is_whole else flat[self._real]

    def _after_shared(self, rows: mx.array, own: mx.array) -> mx.array:
        """The shared rows' keys or values in front of each segment's own."""
        shared = rows[: self._shared].transpose(2, 1, 0, 3)  # (1, heads, shared, head_dim)
        repeated = mx.broadcast_to(shared, (own.shape[0], *shared.shape[1:]))
        return mx.concatenate([repeated, own], axis=2)

    def _gathered(self, x: mx.array) -> mx.array:
        """(rows, heads, 1, head_dim) to (segments, heads, longest, head_dim)."""
        rows = x[self._first : self._end] if self._is_whole else x[self._index]
        return rows.reshape(*self._shape, x.shape[1], x.shape[3]).transpose(0, 2, 1, 3)


def _blocks(lengths: Sequence[int], shared: int) -> list[_Block]:
    """The shared rows, and segments longest first, together while they are of about one length."""
    starts = list(accumulate(lengths, initial=shared))
    ordered = sorted(range(len(lengths)), key=lambda each: -lengths[each])
    groups: list[list[int]] = []
    for each in ordered:
        if groups and lengths[groups[-1][0]] <= _PADDED_RATIO * lengths[each]:
            groups[-1].append(each)
        else:
            groups.append([each])
    blocks = [_Block([0], [shared], 0)] if shared else []
    for group in map(sorted, groups):
        own = [lengths[each] for each in group]
        blocks.append(_Block([starts[each] for each in group], own, shared))
    return blocks
