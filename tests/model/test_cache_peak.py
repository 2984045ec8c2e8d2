"""What a cache holds for a moment: growing and unpacking, one array at a time."""

import mlx.core as mx
import pytest

from mlx_magistral.model.cache import STEP_TOKENS, KVCache
from mlx_magistral.model.quantized_cache import QuantizedKVCache

pytestmark = pytest.mark.usefixtures("settled")

TOKENS, HEADS, HEAD_DIM, LAYERS = 16 * STEP_TOKENS, 4, 64, 6
KEYS_BYTES = TOKENS * HEADS * HEAD_DIM * 2


def _filled(cache: KVCache) -> KVCache:
    parts = [mx.random.normal((1, HEADS, TOKENS, HEAD_DIM)).astype(mx.bfloat16) for _ in range(2)]
    cache.update_and_fetch(*parts)
    mx.eval(cache.state)
    return cache


def _one_more(cache: KVCache) -> tuple[mx.array, mx.array]:
    token = mx.zeros((1, HEADS, 1, HEAD_DIM), mx.bfloat16)
    return cache.update_and_fetch(token, token)


def _peak_beyond_start() -> int:
    return mx.get_peak_memory() - mx.get_active_memory()


def test_layers_that_grow_in_one_pass_keep_one_old_array_at_a_time() -> None:
    layers = [_filled(KVCache()) for _ in range(LAYERS)]
    mx.clear_cache()
    mx.reset_peak_memory()
    mx.eval([_one_more(layer)[0] for layer in layers])
    assert _peak_beyond_start() < 1.5 * KEYS_BYTES


@pytest.mark.parametrize("bits", [8, 4])
def test_quantized_keys_are_unpacked_before_the_values(bits: int) -> None:
    cache = _filled(QuantizedKVCache(bits))
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(_one_more(cache))
    # The keys done, the values and what unpacking them holds; both at once would be ten.
    assert mx.get_peak_memory() - before < 7.5 * KEYS_BYTES
