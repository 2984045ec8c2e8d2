"""QuantizedKVCache: keys and values at 8 or 4 bits, and attention that reads them.

Half or a quarter of KVCache's bytes. 8 bits is the safe choice; 4 bits from the first token on
changes what some models say, so it is used on request only.
"""

import mlx.core as mx

from mlx_magistral.errors import UsageError
from mlx_magistral.model import device
from mlx_magistral.model.attending import Mask
from mlx_magistral.model.cache import KVCache

KV_BITS = (16, 8, 4)
# Up to this many rows (decode, or verifying a draft) scores are a few MB at 40,000 tokens and the
# codes are read as they are: dequantizing would write and read four times their bytes each token.
# Longer passes (prefill) dequantize this one layer for the fused kernel, which keeps no scores:
# 168 MB at Magistral's shape and 40,960 tokens, whatever the chunk.
DIRECT_ROWS = 8


class QuantizedKVCache(KVCache):
    """Codes, scales and biases of one layer's keys, then of its values, each token by itself.

    A group along head_dim shares a scale and a bias, so appending never touches older tokens.
    """

    def __init__(self, bits: int = 8) -> None:
        super().__init__()
        if bits not in KV_BITS[1:]:
            raise UsageError(f"A quantized KV cache has 8 or 4 bits, not {bits!r}.")
        self.bits = bits

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Append keys and values (B, n_kv_heads, L, head_dim); return all, dequantized."""
        # Finishes the layers before: their dequantized arrays would else wait in the queue, alive.
        mx.eval(keys, values)
        self.append(keys, values)
        kept, size = self._kept(), group_size(keys.shape[-1])
        dequantized = []
        for part in (kept[:3], kept[3:]):
            array = mx.dequantize(part[0], part[1], part[2], size, self.bits)
            # One after the other: the CPU unpacks into temporaries of five times the array.
            mx.eval(array)
            dequantized.append(array)
        return dequantized[0], dequantized[1]

    def append(self, keys: mx.array, values: mx.array) -> None:
        """Quantize and keep keys and values (B, n_kv_heads, L, head_dim)."""
        size = group_size(keys.shape[-1])
        self._append(
            *mx.quantize(keys, group_size=size, bits=self.bits),
            *mx.quantize(values, group_size=size, bits=self.bits),
        )

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
        """``KVCache.attend``, for up to DIRECT_ROWS rows on the codes as they are."""
        if q.shape[2] > DIRECT_ROWS:
            return super().attend(q, k, v, scale=scale, mask=mask, in_blocks=in_blocks)
        self.append(k, v)
        return self._attend_to_codes(q * scale, mask)

    def _attend_to_codes(self, queries: mx.array, mask: Mask) -> mx.array:
        """Scaled queries (B, n_heads, L, head_dim) to all tokens kept."""
        B, H, L, D = queries.shape
        G = self._store[0].shape[1]
        key_codes, key_scales, key_biases, codes, scales, biases = self._kept()
        size = group_size(D)
        # The query heads of one key head become rows, so its codes are read once for all of them.
        rows = queries.reshape(B, G, H // G * L, D)
        scores = mx.quantized_matmul(rows, key_codes, key_scales, key_biases, True, size, self.bits)
        if mask is not None:
            is_seen = _causal(L, self.offset) if isinstance(mask, str) else mask
            by_row = scores.reshape(B, G, H // G, L, -1)
            scores = mx.where(is_seen, by_row, -mx.inf).reshape(scores.shape)
        weights = mx.softmax(scores, axis=-1, precise=True)
        if device.is_gpu():
            # Each head by itself: up to 3 rows at a time Metal's kernel for vectors shares out the
            # tokens, in 2,048 thread groups at 40,000; the one for more rows has 32.
            weights = weights.reshape(B, G, H // G, L, -1)
            codes, scales, biases = (
                _repeated(array, H // G, self.offset) for array in self._store[3:]
            )
        out = mx.quantized_matmul(weights, codes, scales, biases, False, size, self.bits)
        return out.reshape(B, H, L, D)


def require_kv_bits(bits: int) -> None:
    """Raises UsageError for what is none of KV_BITS."""
    if bits not in KV_BITS or not isinstance(bits, int):
        raise UsageError(f"kv_bits must be 16, 8 or 4, not {bits!r}.")


def can_quantize(head_dim: int) -> bool:
    """Whether MLX can quantize keys and values of this width: it takes groups of 32 and more."""
    return head_dim % 32 == 0


def group_size(head_dim: int) -> int:
    """Numbers that share a scale: 64, or 32 where 64 does not divide the head.

    Raises UsageError for a head_dim that MLX cannot quantize.
    """
    if can_quantize(head_dim):
        return 64 if head_dim % 64 == 0 else 32
    raise UsageError(
        f"The KV cache of a model with head_dim {head_dim} cannot be quantized: MLX takes "
        "multiples of 32. Use --kv-bits 16."
    )


def _repeated(array: mx.array, times: int, tokens: int) -> mx.array:
    """Of (B, heads, room, n), which lies in one piece, (B, heads, times, tokens, n), not copied."""
    B, heads, room, n = array.shape
    strides = (heads * room * n, room * n, 0, n, 1)
    return mx.as_strided(array, (B, heads, times, tokens, n), strides)


def _causal(length: int, total: int) -> mx.array:
    """(length, total): the newest ``length`` tokens see themselves and all before."""
    return mx.arange(total - length, total)[:, None] >= mx.arange(total)[None]
