"""RaggedCache: several sequences in one pass, each with its own cache and as many tokens as it has.

A pass is rows of tokens, (rows, 1), that belong to sequences in turn: one row of a sequence that
decodes, many of one whose prompt is read. Nothing is padded and no cache is copied when a sequence
comes or goes; a sequence attends to its own tokens as it would alone. Prefill and decode share the
pass, and so the reading of the weights (Sarathi-Serve, arXiv:2403.02310, calls that piggybacking).
"""

from collections.abc import Sequence
from itertools import accumulate

import mlx.core as mx

from mlx_magistral.model.attending import Mask
from mlx_magistral.model.cache import KVCache


class RaggedCache:
    """One layer of all sequences; ``lengths`` says how many rows of the pass are each one's.

    With ``query_rows`` only so many of each one's rows, its last, go on from this layer and have
    queries; the attribute has their places in the pass.
    """

    def __init__(
        self,
        caches: Sequence[KVCache],
        lengths: Sequence[int],
        positions: mx.array,
        query_rows: Sequence[int] | None = None,
    ) -> None:
        self.caches = caches  # one of each sequence
        self.lengths = lengths
        self._ends = list(accumulate(lengths))[:-1]
        self.wanted = query_rows  # how many of each one's rows go on, None for all
        self._query_ends = self._ends if query_rows is None else list(accumulate(query_rows))[:-1]
        self.offset = positions  # (rows,): each row's own
        self.query_rows = None if query_rows is None else mx.array(last_rows(lengths, query_rows))
        self.query_offset = positions if self.query_rows is None else positions[self.query_rows]

    def make_mask(self, N: int, return_array: bool = False, window_size: int | None = None) -> Mask:
        """None: each sequence makes its own."""
        return None

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Not called: there is no array that holds all sequences."""
        raise NotImplementedError

    def attend(
        self, q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Mask
    ) -> mx.array:
        """Each sequence's rows attend by its own cache, (rows, heads, 1, head_dim) in and out.

        In blocks here only: the memory plan of a reply alone knows what a whole pass holds.
        """
        queries = mx.split(q, self._query_ends, axis=0)
        keys, values = (mx.split(each, self._ends, axis=0) for each in (k, v))
        outs = []
        for own_q, own_k, own_v, cache in zip(queries, keys, values, self.caches, strict=True):
            own = _turned(own_q), _turned(own_k), _turned(own_v)
            if own_q.shape[0] == 0:  # read for its keys and values alone
                cache.update_and_fetch(*own[1:])
                outs.append(own_q)
                continue
            own_mask = cache.make_mask(own_q.shape[0])
            out = cache.attend(*own, scale=scale, mask=own_mask, in_blocks=True)
            outs.append(_turned(out))
        return mx.concatenate(outs, axis=0)


def ragged_caches(
    sequences: Sequence[Sequence[KVCache]], lengths: Sequence[int], wanted: Sequence[int]
) -> list[RaggedCache]:
    """A cache for each layer of a pass from each sequence's caches, which it fills.

    Nobody needs more than the ``wanted`` last rows of each sequence from the last layer.
    """
    positions = mx.array(
        [
            caches[0].offset + place
            for caches, length in zip(sequences, lengths, strict=True)
            for place in range(length)
        ]
    )
    *layers, last = zip(*sequences, strict=True)
    # Where none is wanted nothing of that layer but its keys and values is evaluated.
    query_rows = wanted if 0 < sum(wanted) < sum(lengths) else None
    ragged = [RaggedCache(layer, lengths, positions) for layer in layers]
    return [*ragged, RaggedCache(last, lengths, positions, query_rows)]


def last_rows(lengths: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Where in the pass the ``wanted`` last rows of each sequence are."""
    ends = accumulate(lengths)
    return [row for end, count in zip(ends, wanted, strict=True) for row in range(end - count, end)]


def _turned(x: mx.array) -> mx.array:
    """Between (rows, heads, 1, head_dim) and (1, heads, rows, head_dim), the same for one row."""
    return x if x.shape[0] == 1 and x.shape[2] == 1 else x.transpose(2, 1, 0, 3)
