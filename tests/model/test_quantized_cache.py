"""The quantized cache is the plain one up to its rounding, however the tokens are fed."""

import itertools
from dataclasses import replace

import mlx.core as mx
import pytest
from model.builders import SMALL, random_weights

from mlx_magistral.errors import UsageError
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.quantized_cache import QuantizedKVCache
from mlx_magistral.model.transformer import Transformer

# The most a logit may move, where the largest are near 1: rounding of keys and values.
TOLERANCE = {8: 0.02, 4: 0.4}
# The same codes read by two kernels, at float32.
SAME = 1e-4
TOKENS = [[(7 * i + 3 * row) % 128 for i in range(40)] for row in range(2)]


def build(**changes: int) -> Transformer:
    config = replace(SMALL, **changes)
    model = Transformer(config)
    model.load_weights(list(random_weights(config).items()), strict=True)
    return model


@pytest.fixture(scope="module")
def small() -> Transformer:
    return build()


def difference(ours: mx.array, theirs: mx.array) -> float:
    return float(mx.abs(ours - theirs).max().item())


def in_chunks(model: Transformer, cache: list[KVCache], chunks: list[int]) -> mx.array:
    bounds = itertools.pairwise(itertools.accumulate(chunks, initial=0))
    parts = [model(mx.array(TOKENS)[:, start:stop], cache) for start, stop in bounds]
    return mx.concatenate(parts, axis=1)


@pytest.mark.parametrize("bits", TOLERANCE)
@pytest.mark.parametrize("chunks", [[40], [20, 20], [1] * 40, [33, 1, 1, 5], [3, 37], [8, 9, 23]])
def test_any_chunking_is_the_uncached_result_within_rounding(
    small: Transformer, bits: int, chunks: list[int]
) -> None:
    logits = in_chunks(small, make_cache(small, bits), chunks)
    assert difference(logits, small(mx.array(TOKENS))) <= TOLERANCE[bits]


@pytest.mark.parametrize("bits", TOLERANCE)
@pytest.mark.parametrize("chunks", [[8] * 5, [1] * 40, [30, 4, 6]])
def test_every_chunking_gives_the_same_result(
    small: Transformer, bits: int, chunks: list[int]
) -> None:
    whole = in_chunks(small, make_cache(small, bits), [40])
    assert difference(in_chunks(small, make_cache(small, bits), chunks), whole) <= SAME


def test_groups_of_64_and_one_key_head() -> None:
    model = build(n_heads=3, n_kv_heads=1, head_dim=64, dim=96)
    whole = in_chunks(model, make_cache(model, 8), [40])
    assert difference(in_chunks(model, make_cache(model, 8), [36, 1, 3]), whole) <= SAME
    assert difference(whole, model(mx.array(TOKENS))) <= TOLERANCE[8]


def test_trimmed_cache_is_as_if_the_tokens_had_not_been(small: Transformer) -> None:
    cache = make_cache(small, 8)
    in_chunks(small, cache, [30])
    for layer in cache:
        assert layer.trim(10) == 10
    continued = small(mx.array(TOKENS)[:, 20:], cache)
    whole = in_chunks(small, make_cache(small, 8), [40])
    assert difference(continued, whole[:, 20:]) <= SAME


def test_array_masks_are_obeyed(small: Transformer) -> None:
    plain, quantized = KVCache(), QuantizedKVCache(8)
    k = mx.random.normal((1, 2, 4, 32), key=mx.random.key(0))
    q = mx.random.normal((1, 4, 4, 32), key=mx.random.key(1))
    mask = plain.make_mask(4, window_size=2)
    out = quantized.attend(q, k, k, scale=1.0, mask=mask)
    expected = mx.fast.scaled_dot_product_attention(q, k, k, scale=1.0, mask=mask)
    # Keys and values are not small here: each has a norm of 6, and one step of 8 bits is 0.02.
    assert 0 < difference(out, expected) <= 0.15


@pytest.mark.parametrize(("bits", "bits_stored"), [(8, 8 + 1), (4, 4 + 1)])
def test_bytes_are_codes_and_a_scale_and_bias_a_group(bits: int, bits_stored: int) -> None:
    cache = QuantizedKVCache(bits)
    tokens = mx.zeros((1, 2, 300, 32), mx.bfloat16)
    cache.update_and_fetch(tokens, tokens)
    assert cache.nbytes == 2 * 2 * 512 * 32 * bits_stored / 8
    assert len(cache.state) == 6 and cache.is_trimmable() and cache.offset == 300


@pytest.mark.parametrize("bits", [16, 8, 4])
def test_exported_arrays_restore_the_cache_and_are_never_written(
    small: Transformer, bits: int
) -> None:
    cache = make_cache(small, bits)
    whole = in_chunks(small, cache, [25, 15])
    saved = [layer.export(25) for layer in cache]
    before = [[mx.array(array) for array in arrays] for arrays in saved]
    for _ in range(2):
        restored = make_cache(small, bits)
        for layer, arrays in zip(restored, saved, strict=True):
            layer.restore(arrays)
        assert restored[0].offset == 25
        assert difference(small(mx.array(TOKENS)[:, 25:], restored), whole[:, 25:]) <= SAME
    for arrays, copies in zip(saved, before, strict=True):
        assert all(mx.array_equal(a, b) for a, b in zip(arrays, copies, strict=True))


def test_shapes_and_bits_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match="not 5"):
        make_cache(SMALL, 5)
    odd = mx.zeros((1, 1, 1, 24))
    with pytest.raises(UsageError, match="head_dim 24"):
        QuantizedKVCache(8).update_and_fetch(odd, odd)
