"""What a GPU is given: so few operations a layer and step, and the same numbers as a CPU's way.

No GPU is needed to count. Its fused kernels are one operation each, where a CPU's are composed of
many; here each is stood for by another single one, of the same shapes.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models import llama
from mlx_lm.models.cache import make_prompt_cache
from model.builders import SMALL

from mlx_magistral.decode.nucleus import RowFilter, draw_rows
from mlx_magistral.model import device
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.quantized_cache import QuantizedKVCache
from mlx_magistral.model.transformer import Transformer

CONFIG = replace(SMALL, dim=128, head_dim=64, n_heads=4, n_kv_heads=2, hidden_dim=256)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(device, "is_gpu", lambda: True)
    monkeypatch.setattr(mx.fast, "rms_norm", lambda x, *_: mx.erf(x))
    monkeypatch.setattr(mx.fast, "rope", lambda x, *_, **__: mx.sin(x))

    def attention(q: mx.array, k: mx.array, v: mx.array, **_: Any) -> mx.array:
        return mx.depends([q], [k, v])[0]

    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", attention)
    yield


def counted(outputs: list[mx.array], path: Path) -> Counter[str]:
    """The operations that these arrays wait for."""
    mx.export_to_dot(str(path), *outputs)
    return Counter(re.findall(r'label ="([^"]+)", shape=rectangle', path.read_text()))


def ours(layers: int, kv_bits: int, path: Path) -> int:
    model = Transformer(replace(CONFIG, n_layers=layers))
    cache = make_cache(model, kv_bits)
    return step(model, cache, path)


def theirs(layers: int, kv_bits: int, path: Path) -> int:
    arguments = llama.ModelArgs(
        model_type="llama",
        hidden_size=CONFIG.dim,
        num_hidden_layers=layers,
        intermediate_size=CONFIG.hidden_dim,
        num_attention_heads=CONFIG.n_heads,
        num_key_value_heads=CONFIG.n_kv_heads,
        head_dim=CONFIG.head_dim,
        rms_norm_eps=CONFIG.norm_eps,
        vocab_size=CONFIG.vocab_size,
        tie_word_embeddings=False,
    )
    model = llama.Model(arguments)
    cache = make_prompt_cache(model)
    if kv_bits < 16:
        cache = [layer.to_quantized(group_size=64, bits=kv_bits) for layer in cache]
    return step(model, cache, path)


def step(model: Any, cache: Any, path: Path) -> int:
    """Operations of a pass of one id, with a few before it; weights of 4 bits."""
    model.set_dtype(mx.bfloat16)
    nn.quantize(model, 64, 4)
    mx.eval(model.parameters())
    # Nothing is computed before: compiled functions would start a compiler.
    shape = (1, CONFIG.n_kv_heads, 3, CONFIG.head_dim)
    for layer in cache:
        parts = mx.zeros(shape, mx.bfloat16), mx.zeros(shape, mx.bfloat16)
        append = layer.append if isinstance(layer, QuantizedKVCache) else layer.update_and_fetch
        append(*parts)
        mx.eval(layer.state)
    token = mx.array([[5]])
    mx.eval(token)
    logits = model(token, cache)
    states = [array for layer in cache for array in _arrays(layer.state)]
    return counted([logits, *states], path).total()


def _arrays(state: Any) -> list[mx.array]:
    if isinstance(state, mx.array):
        return [state]
    return (
        [array for each in state for array in _arrays(each)]
        if isinstance(state, list | tuple)
        else []
    )


@pytest.mark.parametrize(("kv_bits", "most"), [(16, 23), (8, 43)])
def test_no_more_operations_a_layer_than_mlx_lm(
    as_on_a_gpu: None, tmp_path: Path, kv_bits: int, most: int
) -> None:
    def a_layer(count: Any) -> int:
        path = tmp_path / "graph.dot"
        return int(count(3, kv_bits, path) - count(2, kv_bits, path))

    assert a_layer(ours) <= most
    assert a_layer(ours) <= a_layer(theirs)


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
@pytest.mark.parametrize("bits", [8, 4])
def test_quantized_values_a_head_at_a_time_are_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch, rows: int, bits: int
) -> None:
    shape = (2, 2, 300, 64)
    before = [mx.random.normal(shape, key=mx.random.key(each)) for each in range(2)]
    q = mx.random.normal((2, 6, rows, 64), key=mx.random.key(2))
    k, v = (mx.random.normal((2, 2, rows, 64), key=mx.random.key(each)) for each in (3, 4))

    def attended() -> mx.array:
        cache = QuantizedKVCache(bits)
        cache.append(*before)
        return cache.attend(q, k, v, scale=0.125, mask=cache.make_mask(rows))

    expected = attended()
    monkeypatch.setattr(device, "is_gpu", lambda: True)
    assert mx.allclose(attended(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "kept",
    [
        RowFilter([0.7, 1.2], [0.95, 1.0], [0.0, 0.0], 0),
        RowFilter([0.7, 1.2], [0.9, 0.8], [0.05, 0.0], 0),
        RowFilter([0.7, 1.0], [1.0, 0.5], [0.0, 0.1], 7),
    ],
)
def test_draws_sorted_once_are_those_sorted_twice(
    monkeypatch: pytest.MonkeyPatch, kept: RowFilter
) -> None:
    logits = mx.random.normal((2, 20_000), key=mx.random.key(1)) * 3
    draws = [[mx.random.key(2 * seed), mx.random.key(2 * seed + 1)] for seed in range(30)]

    def drawn() -> list[list[int]]:
        return [[token.item() for token in draw_rows(logits, keys, kept)] for keys in draws]  # type: ignore[misc]

    expected = drawn()
    monkeypatch.setattr(device, "is_gpu", lambda: True)
    mx.disable_compile()  # which takes a compiler here
    try:
        assert drawn() == expected
    finally:
        mx.enable_compile()
