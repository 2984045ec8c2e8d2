"""The parts of a decoder layer that are no matrix product, on MLX's fused kernels or on numpy.

Each takes and returns float32 arrays of one library. Numpy's are written for a CPU: its exponential
takes a twentieth of the time of MLX's there, and what attention keeps fits a core's cache.
"""

import mlx.core as mx
import numpy as np

from magistral_convert.rounding.dense import Array, like
from mlx_magistral.model.config import ModelConfig

# Positions whose queries are worked on at once.
_QUERIES = 128


def rms_norm(hidden: Array, gain: Array, epsilon: float) -> Array:
    """Hidden states (..., D) at a root mean square of 1, times the gain (D,)."""
    if isinstance(hidden, mx.array):
        return mx.fast.rms_norm(hidden, gain, epsilon)
    squares = np.einsum("...d,...d->...", hidden, hidden) / hidden.shape[-1]
    return hidden / np.sqrt(squares + epsilon)[..., None] * like(gain, hidden)


def sigmoid(values: Array) -> Array:
    """1 / (1 + exp(-x))."""
    if isinstance(values, mx.array):
        return mx.sigmoid(values)
    # exp overflows to infinity for large negative values, whose result is 0 all the same.
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-values))


def gated(gate: Array, up: Array) -> Array:
    """SiLU of one times the other, elementwise."""
    return gate * sigmoid(gate) * up


def turned(heads: Array, config: ModelConfig, direction: float = 1.0) -> Array:
    """Queries or keys (B, H, L, head_dim) turned by their position from 0 (RoPE, HF's halves).

    A ``direction`` of -1 turns them back.
    """
    size, base = config.head_dim, config.rope_theta
    if isinstance(heads, mx.array):
        return mx.fast.rope(heads, size, traditional=False, base=base, scale=direction, offset=0)
    half = size // 2
    steps = base ** (-np.arange(half) / half)
    angles = np.outer(direction * np.arange(heads.shape[2]), steps)  # (L, head_dim / 2)
    cosine, sine = (each(angles).astype(np.float32) for each in (np.cos, np.sin))
    first, second = heads[..., :half], heads[..., half:]
    return np.concatenate([first * cosine - second * sine, first * sine + second * cosine], axis=-1)


def causal_attention(q: Array, k: Array, v: Array) -> Array:
    """Softmax attention to oneself and what came before: q (B, H, L, D), k and v with KV heads."""
    scale = q.shape[-1] ** -0.5
    if isinstance(q, mx.array):
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask="causal")
    B, heads, length, size = q.shape
    kv_heads = k.shape[1]
    grouped = (q * scale).reshape(B, kv_heads, heads // kv_heads, length, size)
    mixed = np.empty_like(grouped)
    for row in range(B):
        for head in range(kv_heads):
            for begin in range(0, length, _QUERIES):
                end = min(begin + _QUERIES, length)
                queries = grouped[row, head, :, begin:end]  # (group, queries, D)
                mixed[row, head, :, begin:end] = _attended(
                    queries, k[row, head, :end], v[row, head, :end]
                )
    return mixed.reshape(q.shape)


def causal_shares(scores: Array) -> Array:
    """Softmax over what comes before, of scores (..., L, L) of queries and keys."""
    length = scores.shape[-1]
    if isinstance(scores, mx.array):
        causal = mx.triu(mx.full((length, length), -mx.inf), k=1)
        return mx.softmax(scores + causal, axis=-1, precise=True)
    shares = scores + np.triu(np.full((length, length), -np.inf, np.float32), k=1)
    shares -= shares.max(axis=-1, keepdims=True)
    np.exp(shares, out=shares)
    return shares / shares.sum(axis=-1, keepdims=True)


def _attended(queries: Array, keys: Array, values: Array) -> Array:
    """(group, queries, D) to the keys (L, D), of which the last belong to the queries."""
    group, count, size = queries.shape
    scores = (queries.reshape(-1, size) @ keys.T).reshape(group, count, -1)
    # What comes after a query counts for nothing.
    scores[:, :, -count:] += np.triu(np.full((count, count), -np.inf, np.float32), k=1)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    sums = scores.sum(axis=-1, keepdims=True)
    return (scores.reshape(group * count, -1) @ values).reshape(queries.shape) / sums
