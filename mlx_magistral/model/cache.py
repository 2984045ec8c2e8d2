"""KVCache: what attention keeps of the tokens so far, one object a layer, owned by the caller.

A cache knows how its tokens are attended to. It also has the methods of mlx-lm's caches, so that
mlx-lm's models and tools take ours. The 8- and 4-bit form is quantized_cache.py's business, several
sequences in one pass are ragged.py's, and caches.py makes them.
"""

from collections.abc import Sequence

import mlx.core as mx

from mlx_magistral.model.attending import Mask, attend, attend_in_blocks

# Room grows by this many tokens: at most 255 are allocated and unused, and growing 40,000 tokens
# long copies about 13 MB a token, against the 13 GB of weights that a token reads.
STEP_TOKENS = 256


class KVCache:
    """Keys and values of one layer, (B, n_kv_heads, tokens, head_dim), in the dtype they come in.

    Allocated in steps of STEP_TOKENS tokens.
    """

    def __init__(self) -> None:
        self.offset = 0  # tokens kept, which is the position of the next one
        self._reserved = 0
        self._store: tuple[mx.array, ...] = ()  # each (B, n_kv_heads, room, something)

    def reserve(self, tokens: int) -> None:
        """Have room for so many tokens with the next one, so that nothing grows on the way."""
        self._reserved = tokens

    def attend(
        self,
        q: mx.array,
        k: mx.array,
        v: mx.array,
        *,
        scale: float,
        mask: Mask,
        in_blocks: bool = False,
    ) -> mx.array:
        """Append k and v (B, n_kv_heads, L, head_dim); attend from q (B, n_heads, rows, head_dim).

        ``in_blocks`` spares a CPU what a causal mask hides (attending.py). In q's shape.
        """
        keys, values = self.update_and_fetch(k, v)
        attention = attend_in_blocks if in_blocks else attend
        return attention(q, keys, values, scale=scale, mask=mask)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Append keys and values (B, n_kv_heads, L, head_dim); return all kept ones."""
        self._append(keys, values)
        all_keys, all_values = self._kept()
        return all_keys, all_values

    def make_mask(self, N: int, return_array: bool = False, window_size: int | None = None) -> Mask:
        """The mask for ``N`` further tokens: None, "causal", or a boolean array (N, offset + N)."""
        if not return_array and window_size is None:
            return None if N == 1 else "causal"
        rows = mx.arange(self.offset, self.offset + N)[:, None]
        columns = mx.arange(self.offset + N)[None]
        mask = rows >= columns
        return mask if window_size is None else mask & (rows < columns + window_size)

    def is_trimmable(self) -> bool:
        """Whether the newest tokens can be dropped; always."""
        return True

    def trim(self, n: int) -> int:
        """Drop the newest ``n`` tokens, or all where there are fewer; returns how many."""
        dropped = min(n, self.offset)
        self.offset -= dropped
        return dropped

    def export(self, tokens: int) -> tuple[mx.array, ...]:
        """Copies of what is stored of the first ``tokens`` tokens, without room, not evaluated."""
        assert tokens <= self.offset
        return tuple(mx.contiguous(array[..., :tokens, :]) for array in self._store)

    def restore(self, arrays: Sequence[mx.array]) -> None:
        """Hold exactly what ``export`` gave; the arrays are shared and never written to.

        They have no room, so the next token moves them to larger ones of this cache's own.
        """
        self._store = tuple(arrays)
        self.offset = arrays[0].shape[2]

    def copy_from(self, other: "KVCache", tokens: int) -> None:
        """Hold the first ``tokens`` tokens of another cache, in arrays of its own."""
        assert tokens <= other.offset
        self._store = tuple(array[..., :tokens, :] for array in other._store)
        self.offset = tokens
        self._make_room(tokens + 1, self._store)

    @property
    def state(self) -> tuple[mx.array, ...]:
        """The stored arrays, room included, for mx.eval; empty before the first token."""
        return self._store

    @property
    def nbytes(self) -> int:
        """Bytes allocated, room included."""
        return sum(array.nbytes for array in self._store)

    def _append(self, *parts: mx.array) -> None:
        """Write the same tokens of each stored array."""
        start, length = self.offset, parts[0].shape[2]
        self._make_room(start + length, parts)
        for store, part in zip(self._store, parts, strict=True):
            store[..., start : start + length, :] = part
        self.offset += length

    def _make_room(self, tokens: int, parts: Sequence[mx.array]) -> None:
        """Let each stored array hold so many tokens.

        One array after the other, each done before the next: left to the queue, old and new of
        several layers would be there at once, beside all that the pass needs. What was outgrown is
        given back: MLX would keep it for reuse, and no later array is as small.
        """
        room = self._store[0].shape[2] if self._store else 0
        if tokens <= room:
            return
        missing = -(-(max(tokens, self._reserved) - room) // STEP_TOKENS) * STEP_TOKENS
        spaces = [mx.zeros((*part.shape[:2], missing, part.shape[3]), part.dtype) for part in parts]
        if not self._store:
            self._store = tuple(spaces)
            return
        for index, space in enumerate(spaces):
            longer = mx.concatenate([self._store[index], space], axis=2)
            mx.eval(longer)
            self._store = (*self._store[:index], longer, *self._store[index + 1 :])
            mx.clear_cache()

    def _kept(self) -> tuple[mx.array, ...]:
        return tuple(array[..., : self.offset, :] for array in self._store)
