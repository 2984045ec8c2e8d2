"""The cache returns what was put in, in steps of room that it says the size of."""

import mlx.core as mx
import pytest
from model.builders import SMALL

from mlx_magistral.model.cache import STEP_TOKENS, KVCache
from mlx_magistral.model.caches import make_cache


def tokens(count: int, first: int = 0, dtype: mx.Dtype = mx.float32) -> mx.array:
    """(1, 1, count, 1) whose entries are their positions."""
    return mx.arange(first, first + count).astype(dtype).reshape(1, 1, count, 1)


@pytest.mark.parametrize("chunks", [[1], [255, 1, 1], [256, 256], [600], [3, 700, 1], [1] * 300])
def test_returns_all_tokens_in_order(chunks: list[int]) -> None:
    cache = KVCache()
    total = 0
    for count in chunks:
        keys, values = cache.update_and_fetch(tokens(count, total), -tokens(count, total))
        total += count
        assert keys.shape == values.shape == (1, 1, total, 1)
    assert keys[0, 0, :, 0].tolist() == list(range(total))
    assert values[0, 0, :, 0].tolist() == [-position for position in range(total)]
    assert cache.offset == total
    rooms = -(-total // STEP_TOKENS) * STEP_TOKENS
    assert cache.nbytes == 2 * 4 * rooms


def test_trimmed_tokens_are_overwritten() -> None:
    cache = KVCache()
    assert cache.is_trimmable() and cache.trim(5) == 0
    cache.update_and_fetch(tokens(10), tokens(10))
    assert cache.trim(4) == 4
    keys, _ = cache.update_and_fetch(tokens(1, 99), tokens(1))
    assert keys[0, 0, :, 0].tolist() == [0, 1, 2, 3, 4, 5, 99]
    assert cache.trim(100) == 7 and cache.offset == 0


def test_keeps_the_dtype() -> None:
    cache = KVCache()
    keys, _ = cache.update_and_fetch(tokens(2, dtype=mx.bfloat16), tokens(2, dtype=mx.bfloat16))
    assert keys.dtype == mx.bfloat16


def test_state_is_what_it_holds() -> None:
    cache = KVCache()
    assert cache.state == () and cache.nbytes == 0
    cache.update_and_fetch(tokens(1), tokens(1))
    mx.eval(cache.state)
    assert [array.shape[2] for array in cache.state] == [STEP_TOKENS, STEP_TOKENS]


def test_masks() -> None:
    cache = KVCache()
    assert cache.make_mask(1) is None
    assert cache.make_mask(2) == "causal"
    cache.update_and_fetch(tokens(2), tokens(2))
    mask = cache.make_mask(2, return_array=True)
    assert isinstance(mask, mx.array)
    assert mask.tolist() == [[True, True, True, False], [True, True, True, True]]
    window = cache.make_mask(2, window_size=2)
    assert isinstance(window, mx.array)
    assert window.tolist() == [[False, True, True, False], [False, False, True, True]]


def test_make_cache_is_one_a_layer() -> None:
    assert len(make_cache(SMALL)) == SMALL.n_layers
