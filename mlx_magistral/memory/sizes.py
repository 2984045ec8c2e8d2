"""Bytes by arithmetic: of weights, of a KV cache, and of what a pass keeps while it runs.

For the CPU the factors were fitted to 102 measured prefills; scripts/bench_memory.py compares them
with peaks. For Metal they are derived from the kernels and have not been measured.
"""

import math

from mlx_magistral.memory.machine import Backend
from mlx_magistral.model.cache import STEP_TOKENS
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes, quantized_shapes
from mlx_magistral.model.quantized_cache import group_size

WEIGHT_GROUP = 64
# Of bfloat16 and float16: unquantized tensors, scales, biases and activations.
_ITEM = 2
# CPU, in sizes of one layer: gate, its sigmoid and up; two norms and RoPE go through float32.
_CPU_HIDDEN, _CPU_DIM, _CPU_QUERIES, _CPU_KEYS = 3, 16, 4, 4
# The CPU unpacks codes into 32-bit integers before it scales them, a few arrays at a time.
_CPU_UNPACKED = 7
_GROWING = 3
# Metal: fused kernels, one layer's outputs; as many layers as may wait in the queue.
_METAL_HIDDEN, _METAL_DIM, _METAL_QUERIES, _METAL_KEYS = 3, 6, 4, 3
_METAL_LAYERS = 2


def weight_bytes(config: ModelConfig, bits: int) -> int:
    """All tensors with every matrix at ``bits`` in groups of 64, or all in 16 bits."""
    total = 0
    for name, shape in expected_shapes(config).items():
        if bits == 16 or len(shape) == 1:
            total += _ITEM * math.prod(shape)
            continue
        for part, stored in quantized_shapes(name, shape, WEIGHT_GROUP, bits).items():
            total += (4 if part == name else _ITEM) * math.prod(stored)
    return total


def token_kv_bytes(config: ModelConfig, kv_bits: int) -> float:
    """KV bytes of one token in all layers: 163,840 for Magistral at 16 bits."""
    numbers = 2 * config.n_layers * config.n_kv_heads * config.head_dim
    if kv_bits == 16:
        return _ITEM * numbers
    # A scale and a bias of 16 bits a group.
    return numbers * (kv_bits + 32 / group_size(config.head_dim)) / 8


def kv_bytes(config: ModelConfig, tokens: int, kv_bits: int) -> int:
    """The KV cache as it is allocated, in steps of 256 tokens."""
    return int(token_kv_bytes(config, kv_bits) * _in_steps(tokens))


def prompt_bytes(
    config: ModelConfig, backend: Backend, chunk_tokens: int, tokens: int, kv_bits: int
) -> int:
    """KV cache and temporaries at the peak of a prompt, over all of its passes."""
    starts = range(0, tokens, chunk_tokens)
    return max(
        _at_pass(config, backend, min(start + chunk_tokens, tokens), start, kv_bits)
        for start in starts
    )


def decode_bytes(config: ModelConfig, backend: Backend, tokens: int, kv_bits: int) -> int:
    """KV cache and temporaries of one id more, the ``tokens``-th, where it makes the cache grow.

    Old keys and values are still there while the next ones are copied, up to two layers' at once.
    """
    layer_keys = tokens * config.n_kv_heads * config.head_dim * _ITEM
    kept = kv_bytes(config, tokens, kv_bits)
    return kept + pass_bytes(config, backend, 1, tokens, kv_bits) + _GROWING * layer_keys


def _at_pass(config: ModelConfig, backend: Backend, end: int, start: int, kv_bits: int) -> int:
    """KV cache and temporaries of a pass over tokens ``start`` to ``end``.

    Where it makes the cache grow, one layer's old keys and values are still there beside the new
    ones when attention runs, and with them the zeros that the values were lengthened by.
    """
    growing = 0.0
    if backend is Backend.CPU and start and _in_steps(end) > _in_steps(start):
        layer_token = token_kv_bytes(config, kv_bits) / config.n_layers
        growing = layer_token * (_in_steps(start) + (_in_steps(end) - _in_steps(start)) / 2)
    passing = pass_bytes(config, backend, end - start, end, kv_bits)
    return kv_bytes(config, end, kv_bits) + passing + int(growing)


def pass_bytes(config: ModelConfig, backend: Backend, rows: int, tokens: int, kv_bits: int) -> int:
    """Temporaries of a pass of ``rows`` tokens that leaves ``tokens`` in the cache.

    CPU attention keeps a matrix of scores, rows x tokens for each head; Metal's fused kernel does
    not. With a quantized cache one layer's keys and values exist in 16 bits as well.
    """
    hidden, dim = rows * config.hidden_dim * _ITEM, rows * config.dim * _ITEM
    queries = rows * config.n_heads * config.head_dim * _ITEM
    key_item = config.n_kv_heads * config.head_dim * _ITEM
    keys = rows * key_item
    # Keys or values of one layer in 16 bits: what a cache copies when it grows.
    layer_keys = tokens * key_item
    if backend is Backend.METAL:
        layer = _METAL_HIDDEN * hidden + _METAL_DIM * dim
        layer += _METAL_QUERIES * queries + _METAL_KEYS * keys
        return _METAL_LAYERS * layer + (4 if kv_bits < 16 else 2) * layer_keys
    scores = rows * tokens * (config.n_heads * _ITEM + 1)  # and a mask of one byte
    total = scores + _CPU_HIDDEN * hidden + _CPU_DIM * dim
    total += _CPU_QUERIES * queries + _CPU_KEYS * keys
    return total + (_CPU_UNPACKED * max(layer_keys - keys, 0) if kv_bits < 16 else 0)


def _in_steps(tokens: int) -> int:
    return -(-tokens // STEP_TOKENS) * STEP_TOKENS
