"""RaggedCache: several sequences in one pass, each with its own cache and as many tokens as it has.

A pass is rows of tokens, (rows, 1), that belong to sequences in turn: one row of a sequence that
decodes, many of one whose prompt is read. Nothing is padded and no cache is copied when a sequence
comes or goes; a sequence attends to its own tokens as it would alone. Prefill and decode share the
pass, and so the reading of the weights (Sarathi-Serve, arXiv:2403.02310, calls that piggybacking).
"""

from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx

from mlx_magistral.model.cache import KVCache


class SequenceRows(NamedTuple):
    """One sequence's part of a layer: (1, heads, tokens, head_dim), its mask and its cache."""

    q: mx.array
    k: mx.array
    v: mx.array
    mask: mx.array | str | None
    cache: KVCache


class RaggedCache:
    """One layer of all sequences; ``lengths`` says how many rows of the pass are each one's."""

    def __init__(
        self, caches: Sequence[KVCache], lengths: Sequence[int], positions: mx.array
    ) -> None:
        self._caches = caches
        self._lengths = lengths
        self.offset = positions  # (rows,): each row's own

    def make_mask(
        self, N: int, return_array: bool = False, window_size: int | None = None
    ) -> mx.array | str | None:
        """None: each sequence makes its own."""
        return None

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Not called: there is no array that holds all sequences."""
        raise NotImplementedError

    def split(self, q: mx.array, k: mx.array, v: mx.array) -> list[SequenceRows]:
        """Each of (rows, heads, 1, head_dim) by sequence."""
        # (rows, heads, 1, head_dim) -> (1, heads, rows, head_dim)
        q, k, v = (each.transpose(2, 1, 0, 3) for each in (q, k, v))
        parts, start = [], 0
        for cache, length in zip(self._caches, self._lengths, strict=True):
            end = start + length
            own_q, own_k, own_v = (each[:, :, start:end] for each in (q, k, v))
            parts.append(SequenceRows(own_q, own_k, own_v, cache.make_mask(length), cache))
            start = end
        return parts

    def join(self, outs: Sequence[mx.array]) -> mx.array:
        """What ``split`` took apart: back to (rows, heads, 1, head_dim)."""
        return mx.concatenate(list(outs), axis=2).transpose(2, 1, 0, 3)


def ragged_caches(
    sequences: Sequence[Sequence[KVCache]], lengths: Sequence[int]
) -> list[RaggedCache]:
    """A cache for each layer of a pass from each sequence's caches, which it fills."""
    positions = mx.array(
        [
            caches[0].offset + place
            for caches, length in zip(sequences, lengths, strict=True)
            for place in range(length)
        ]
    )
    return [RaggedCache(layer, lengths, positions) for layer in zip(*sequences, strict=True)]
