"""Bytes by arithmetic: of weights, of a KV cache, and of what a pass keeps while it runs.

For the CPU the factors were fitted to 87 measured prefills; scripts/bench/memory.py compares them
with peaks. For Metal they are derived from the kernels and have not been measured.
"""

import math

from mlx_magistral.memory.machine import Backend
from mlx_magistral.model.cache import STEP_TOKENS
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes, quantized_shapes
from mlx_magistral.model.quantized_cache import DIRECT_ROWS, group_size

WEIGHT_GROUP = 64
# Of bfloat16 and float16: unquantized tensors, scales, biases and activations.
_ITEM = 2
# CPU, in sizes of one layer: gate, its sigmoid and up; two norms and RoPE go through float32.
_CPU_HIDDEN, _CPU_DIM, _CPU_QUERIES, _CPU_KEYS = 3, 14, 4, 4
# The CPU unpacks codes into 32-bit integers before it scales them: keys in 16 bits that are done,
# and values with what their unpacking holds.
_CPU_UNPACKED = 6
# Metal: fused kernels, one layer's outputs; as many layers as may wait in the queue.
_METAL_HIDDEN, _METAL_DIM, _METAL_QUERIES, _METAL_KEYS = 3, 6, 4, 3
_METAL_LAYERS = 2
_KEPT_LOGITS = 64


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


def average_bytes(config: ModelConfig, bits_per_weight: float) -> int:
    """All tensors where a weight takes so many bits on average, scales included."""
    parameters = sum(math.prod(shape) for shape in expected_shapes(config).values())
    return int(parameters * bits_per_weight / 8)


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


def kept_bytes(step_bytes: float, vocab_size: int) -> int:
    """What MLX may keep of freed buffers while ids are decoded (decode/buffers.py).

    One step of the KV cache, of ``step_bytes`` in all layers; or where that is less, what drawing
    an id leaves, or several at once: a few dozen arrays of one number an id of the vocabulary.
    """
    return int(max(step_bytes, _KEPT_LOGITS * 4 * vocab_size))


def prompt_bytes(
    config: ModelConfig, backend: Backend, chunk_tokens: int, tokens: int, kv_bits: int
) -> int:
    """KV cache and temporaries at the peak of a prompt, over all of its passes."""
    starts = range(0, tokens, chunk_tokens)
    return max(
        _at_pass(config, backend, start, min(start + chunk_tokens, tokens), kv_bits)
        for start in starts
    )


def decode_bytes(config: ModelConfig, backend: Backend, tokens: int, kv_bits: int) -> int:
    """KV cache and temporaries of one id more, the ``tokens``-th."""
    return _at_pass(config, backend, tokens - 1, tokens, kv_bits)


def _at_pass(config: ModelConfig, backend: Backend, start: int, end: int, kv_bits: int) -> int:
    """KV cache and temporaries of a pass over tokens ``start`` to ``end``."""
    grown = _in_steps(start) if _in_steps(end) > _in_steps(start) else 0
    passing = pass_bytes(config, backend, end - start, end, kv_bits, grown_tokens=grown)
    return kv_bytes(config, end, kv_bits) + passing


def pass_bytes(
    config: ModelConfig,
    backend: Backend,
    rows: int,
    tokens: int,
    kv_bits: int,
    *,
    grown_tokens: int | None = None,
) -> int:
    """Temporaries of a pass of ``rows`` tokens that leaves ``tokens`` in the cache.

    Where the pass makes the cache grow, one layer's keys (or values) of ``grown_tokens`` tokens are
    there twice while they are copied: all ``tokens`` where that is not said, none for 0.
    """
    layer_token = token_kv_bytes(config, kv_bits) / config.n_layers / 2
    growing = int(layer_token * (tokens if grown_tokens is None else grown_tokens))
    key_item = config.n_kv_heads * config.head_dim * _ITEM
    # Longer passes have one layer's keys and values in 16 bits beside the codes.
    unpacked = 2 * tokens * key_item if kv_bits < 16 and rows > DIRECT_ROWS else 0
    if backend is Backend.METAL:
        return max(growing, unpacked + _metal_layers(config, rows))
    # Scores of each head in 16 bits, and a mask of one byte: rows x tokens.
    scores = rows * tokens * (config.n_heads * _ITEM + 1)
    attending = unpacked + scores + _cpu_layer(config, rows)
    unpacking = growing + _CPU_UNPACKED * unpacked // 2 if unpacked else 0
    return max(growing, unpacking, attending)


def _metal_layers(config: ModelConfig, rows: int) -> int:
    """Outputs of the fused kernels; attention keeps no scores."""
    hidden, dim, queries, keys = _row_bytes(config, rows)
    layer = _METAL_HIDDEN * hidden + _METAL_DIM * dim
    return _METAL_LAYERS * (layer + _METAL_QUERIES * queries + _METAL_KEYS * keys)


def _cpu_layer(config: ModelConfig, rows: int) -> int:
    """What the operations of a layer that are under way hold, without scores."""
    hidden, dim, queries, keys = _row_bytes(config, rows)
    return _CPU_HIDDEN * hidden + _CPU_DIM * dim + _CPU_QUERIES * queries + _CPU_KEYS * keys


def _row_bytes(config: ModelConfig, rows: int) -> tuple[int, int, int, int]:
    """In the MLP, between layers, of the queries and of the keys of one layer, in 16 bits."""
    item = rows * _ITEM
    queries, keys = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    return config.hidden_dim * item, config.dim * item, queries * item, keys * item


def _in_steps(tokens: int) -> int:
    return -(-tokens // STEP_TOKENS) * STEP_TOKENS
