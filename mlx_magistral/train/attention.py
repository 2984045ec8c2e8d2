"""Causal attention for training: MLX's own for short segments, blocks of queries for long ones.

Autodiff keeps some three score matrices of all heads, 3.4 x H x L² numbers: 29 GB at 8,192 tokens
and Magistral's 32 heads in fp32. Here the backward computes the scores again, a block of queries at
a time, as FlashAttention does (arXiv:2205.14135).
"""

# mypy: allow-untyped-calls

from functools import lru_cache
from typing import Any

import mlx.core as mx

# Shorter segments take autodiff's way: it is faster, and the matrices are small.
LONG_TOKENS = 512
BLOCK_ROWS = 128


def trained_attention(q: mx.array, k: mx.array, v: mx.array, scale: float) -> mx.array:
    """From q (B, n_heads, L, head_dim) to k, v (B, n_kv_heads, S, head_dim), causal.

    The last query sees all keys, each one before it one less.
    """
    if k.shape[2] < LONG_TOKENS:
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask="causal")
    attended: mx.array = _in_blocks(scale)(q, k, v)
    return attended


@lru_cache(maxsize=8)
def _in_blocks(scale: float) -> Any:
    """The custom function for one scale: mx.custom_function takes arrays alone."""

    @mx.custom_function
    def attention(q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        L, before = q.shape[2], k.shape[2] - q.shape[2]
        outs = []
        for start in range(0, L, BLOCK_ROWS):
            end = min(start + BLOCK_ROWS, L)
            seen = before + end
            block = q[:, :, start:end], k[:, :, :seen], v[:, :, :seen]
            outs.append(mx.fast.scaled_dot_product_attention(*block, scale=scale, mask="causal"))
        return mx.concatenate(outs, axis=2)

    @attention.vjp
    def backward(
        primals: tuple[mx.array, mx.array, mx.array], cotangent: mx.array, output: mx.array
    ) -> tuple[mx.array, mx.array, mx.array]:
        return _backward(*primals, cotangent, output, scale)

    return attention


def _backward(
    q: mx.array, k: mx.array, v: mx.array, d_out: mx.array, out: mx.array, scale: float
) -> tuple[mx.array, mx.array, mx.array]:
    """Gradients of q, k and v; heads that share keys are one dimension more, (B, G, H/G, L, D)."""
    B, H, L, D = q.shape
    G, before = k.shape[1], k.shape[2] - L
    q, d_out, out = (each.reshape(B, G, H // G, L, D) for each in (q, d_out, out))
    # dS = P * (dP - rowsum(dO * O)): the rows' sums are known before any score is.
    sums = (d_out.astype(mx.float32) * out.astype(mx.float32)).sum(axis=-1, keepdims=True)
    dqs = []
    dk, dv = mx.zeros(k.shape, mx.float32), mx.zeros(v.shape, mx.float32)
    for start in range(0, L, BLOCK_ROWS):
        end = min(start + BLOCK_ROWS, L)
        rows, seen = slice(start, end), before + end
        seen_k, seen_v = k[:, :, None, :seen], v[:, :, None, :seen]
        own_q, own_d = q[:, :, :, rows], d_out[:, :, :, rows]
        scores = (own_q * scale) @ seen_k.swapaxes(-1, -2)  # (B, G, H/G, rows, seen)
        hidden = mx.arange(seen)[None] > mx.arange(before + start, seen)[:, None]
        scores = mx.where(hidden, mx.array(-mx.inf, scores.dtype), scores)
        weights = mx.softmax(scores, axis=-1, precise=True)
        d_weights = own_d @ seen_v.swapaxes(-1, -2)
        d_scores = (weights * (d_weights - sums[:, :, :, rows])).astype(q.dtype)
        dqs.append((d_scores @ seen_k) * scale)
        dk_rows = (d_scores.swapaxes(-1, -2) @ own_q).astype(mx.float32).sum(axis=2) * scale
        dv_rows = (weights.swapaxes(-1, -2) @ own_d).astype(mx.float32).sum(axis=2)
        dk, dv = _added(dk, dk_rows), _added(dv, dv_rows)
        # A block waits for the whole of the one before: no two blocks' scores are there at once.
        q, d_out = mx.depends([q, d_out], [dqs[-1], dk, dv])
    dq = mx.concatenate(dqs, axis=3).reshape(B, H, L, D)
    return dq, dk.astype(k.dtype), dv.astype(v.dtype)


def _added(total: mx.array, rows: mx.array) -> mx.array:
    """``rows`` are the first tokens of ``total``."""
    end = rows.shape[2]
    if end == total.shape[2]:
        return total + rows
    return mx.concatenate([total[:, :, :end] + rows, total[:, :, end:]], axis=2)
