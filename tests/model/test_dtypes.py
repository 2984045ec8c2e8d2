"""A folder with some tensors in 32 bits computes, and keeps its keys and values, in 16."""

import mlx.core as mx
import pytest
from model.builders import SMALL, random_weights

from mlx_magistral.memory.sizes import kv_bytes
from mlx_magistral.model.cache import STEP_TOKENS
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.transformer import Transformer

TOKENS = mx.array([[5, 9, 11, 60, 7]])


def model_with(wide: str) -> Transformer:
    """In bfloat16, but for the tensors whose name has ``wide`` in it."""
    weights = random_weights(SMALL, mx.bfloat16)
    model = Transformer(SMALL)
    model.load_weights(
        [
            (name, array.astype(mx.float32) if wide and wide in name else array)
            for name, array in weights.items()
        ]
    )
    return model


@pytest.mark.parametrize(
    "wide", ["norm", "input_layernorm", "k_proj", "v_proj", "q_proj", "o_proj", "down_proj", "mlp"]
)
@pytest.mark.parametrize("rows", [1, 5])
def test_a_wide_tensor_widens_nothing_else(wide: str, rows: int) -> None:
    model, plain = model_with(wide), model_with("")
    cache, expected_cache = make_cache(model), make_cache(plain)
    hidden = model.hidden(TOKENS[:, :rows], cache)
    expected = plain.hidden(TOKENS[:, :rows], expected_cache)
    assert hidden.dtype == mx.bfloat16
    # The tensor's values are those of 16 bits: what differs is what is rounded on the way.
    assert mx.allclose(hidden, expected, rtol=0.1, atol=0.1)
    assert {array.dtype for layer in cache for array in layer.state} == {mx.bfloat16}
    assert sum(layer.nbytes for layer in cache) == kv_bytes(SMALL, STEP_TOKENS, 16)


def test_norms_in_32_bits_keep_their_precision() -> None:
    """They are not rounded to the dtype of the pass; what they give is."""
    model = model_with("norm")
    norm = model.model.norm
    norm.weight = norm.weight * 1.001
    x = mx.random.normal((1, 3, SMALL.dim), key=mx.random.key(1)).astype(mx.bfloat16)
    exact = mx.fast.rms_norm(x.astype(mx.float32), norm.weight, SMALL.norm_eps)
    assert mx.array_equal(norm(x), exact.astype(mx.bfloat16))
