"""KVCache: what attention keeps of the tokens so far, one object a layer, owned by the caller.

Has the methods of mlx-lm's cache that a model calls, so either kind works with the Transformer.
"""

from typing import TYPE_CHECKING

import mlx.core as mx

from mlx_magistral.model.config import ModelConfig

if TYPE_CHECKING:
    from mlx_magistral.model.transformer import Transformer

# Room grows by this many tokens: at most 255 are allocated and unused, and growing 40,000 tokens
# long copies about 13 MB a token, against the 13 GB of weights that a token reads.
STEP_TOKENS = 256


class KVCache:
    """Keys and values of one layer, (B, n_kv_heads, tokens, head_dim), in the dtype they come in.

    Allocated in steps of STEP_TOKENS tokens.
    """

    def __init__(self) -> None:
        self.offset = 0  # tokens kept, which is the position of the next one
        self._keys: mx.array | None = None
        self._values: mx.array | None = None

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Append keys and values (B, n_kv_heads, L, head_dim); return all kept ones."""
        start, self.offset = self.offset, self.offset + keys.shape[2]
        self._keys = _append(self._keys, keys, start)
        self._values = _append(self._values, values, start)
        return self._keys[..., : self.offset, :], self._values[..., : self.offset, :]

    def make_mask(
        self, N: int, return_array: bool = False, window_size: int | None = None
    ) -> mx.array | str | None:
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

    @property
    def state(self) -> tuple[mx.array, ...]:
        """The stored arrays, room included, for mx.eval; empty before the first token."""
        return tuple(array for array in (self._keys, self._values) if array is not None)

    @property
    def nbytes(self) -> int:
        """Bytes allocated, room included."""
        return sum(array.nbytes for array in self.state)


def make_cache(source: "ModelConfig | Transformer") -> list[KVCache]:
    """An empty cache for each layer of a model, or of the model a config describes."""
    count = source.n_layers if isinstance(source, ModelConfig) else len(source.layers)
    return [KVCache() for _ in range(count)]


def _append(store: mx.array | None, new: mx.array, start: int) -> mx.array:
    """Write ``new`` at token ``start``, in place where there is room."""
    B, H, L, D = new.shape
    room = 0 if store is None else store.shape[2]
    if start + L > room:
        missing = -(-(start + L - room) // STEP_TOKENS) * STEP_TOKENS
        space = mx.zeros((B, H, missing, D), new.dtype)
        store = space if store is None else mx.concatenate([store, space], axis=2)
    assert store is not None
    store[..., start : start + L, :] = new
    return store
