"""The shortcuts of attention on a CPU against MLX's own operation: the same bits."""

import mlx.core as mx
import pytest

from mlx_magistral.model.attending import BLOCK_ROWS, attend, attend_in_blocks

SCALE = 0.125


def arrays(
    rows: int, tokens: int, heads: int, kv_heads: int, dtype: mx.Dtype
) -> tuple[mx.array, mx.array, mx.array]:
    mx.random.seed(rows + tokens)
    shapes = (1, heads, rows, 64), (1, kv_heads, tokens, 64), (1, kv_heads, tokens, 64)
    q, k, v = (mx.random.normal(shape).astype(dtype) for shape in shapes)
    return q, k, v


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float32])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 2), (8, 1), (2, 2)])
def test_one_query_is_that_of_the_fused_operation(
    heads: int, kv_heads: int, dtype: mx.Dtype
) -> None:
    for tokens in (1, 77, 300):
        q, k, v = arrays(1, tokens, heads, kv_heads, dtype)
        expected = mx.fast.scaled_dot_product_attention(q, k, v, scale=SCALE)
        assert mx.array_equal(attend(q, k, v, scale=SCALE, mask=None), expected)


@pytest.mark.parametrize("rows", [2, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS + 7])
def test_blocks_are_the_whole_pass(rows: int) -> None:
    for before in (0, 50):
        q, k, v = arrays(rows, before + rows, 4, 2, mx.bfloat16)
        expected = mx.fast.scaled_dot_product_attention(q, k, v, scale=SCALE, mask="causal")
        assert mx.array_equal(attend_in_blocks(q, k, v, scale=SCALE, mask="causal"), expected)


def test_a_mask_of_arrays_holds_in_both() -> None:
    for rows in (1, 2 * BLOCK_ROWS):
        q, k, v = arrays(rows, 200, 4, 2, mx.bfloat16)
        mask = mx.random.uniform(shape=(rows, 200)) > 0.5
        expected = mx.fast.scaled_dot_product_attention(q, k, v, scale=SCALE, mask=mask)
        for function in (attend, attend_in_blocks):
            assert mx.array_equal(function(q, k, v, scale=SCALE, mask=mask), expected)
