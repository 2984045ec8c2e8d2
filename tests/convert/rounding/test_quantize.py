"""Codes, grids and the bit stream, against mx.quantize and naive arithmetic."""

import mlx.core as mx
import numpy as np
import pytest

from magistral_convert.recipe import GROUP_SIZES, TENSOR_BITS
from magistral_convert.rounding.packing import pack_codes
from magistral_convert.rounding.quantize import cast_rows, quantize_rows, starting_grid
from mlx_magistral.model.quant_config import QuantFormat


@pytest.mark.parametrize("bits", TENSOR_BITS)
def test_packing_is_one_little_endian_bit_stream_a_row(bits: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 1 << bits, (3, 64), dtype=np.uint8)
    bit_rows = np.unpackbits(codes[..., None], axis=-1, bitorder="little")[..., :bits]
    expected = np.packbits(bit_rows.reshape(3, -1), axis=-1, bitorder="little").view(np.uint32)
    packed = pack_codes(mx.array(codes), bits)
    assert packed.dtype == mx.uint32
    assert np.array_equal(np.array(packed), expected)


@pytest.mark.parametrize("bits", TENSOR_BITS)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_the_grid_is_mlx_s_and_the_error_never_larger(bits: int, group_size: int) -> None:
    mx.random.seed(bits)
    rows = (mx.random.normal((32, 256)) * 0.02).astype(mx.bfloat16)
    stored = quantize_rows(rows, QuantFormat(group_size, bits), mx.bfloat16)
    theirs = mx.quantize(rows, group_size=group_size, bits=bits)
    assert mx.array_equal(stored.parts[1], theirs[1])
    assert mx.array_equal(stored.parts[2], theirs[2])
    ours_error = _squared_error(rows, stored.parts, bits, group_size)
    assert ours_error <= _squared_error(rows, theirs, bits, group_size)
    assert stored.squared_error == pytest.approx(ours_error, rel=1e-3)


def test_the_codes_are_the_best_for_the_stored_grid() -> None:
    mx.random.seed(1)
    rows = mx.random.normal((4, 64))
    packed, scales, biases = quantize_rows(rows, QuantFormat(32, 4), mx.float16).parts
    codes = np.array(mx.dequantize(packed, mx.ones((4, 2)), mx.zeros((4, 2)), 32, 4))
    grid = np.array(scales)[..., None, None] * np.arange(16) + np.array(biases)[..., None, None]
    distance = np.abs(np.array(rows).reshape(4, 2, 32, 1) - grid.astype(np.float32))
    chosen = np.take_along_axis(distance, codes.reshape(4, 2, 32, 1).astype(int), axis=-1)[..., 0]
    assert np.all(chosen <= distance.min(axis=-1) + 1e-3)


def test_blocks_of_rows_equal_the_whole() -> None:
    rows = mx.random.normal((48, 128))
    whole = quantize_rows(rows, QuantFormat(64, 6), mx.bfloat16)
    blocks = [
        quantize_rows(rows[start : start + 16], QuantFormat(64, 6), mx.bfloat16)
        for start in (0, 16, 32)
    ]
    for index, part in enumerate(whole.parts):
        assert mx.array_equal(part, mx.concatenate([block.parts[index] for block in blocks]))


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_a_constant_group_keeps_its_value(value: float) -> None:
    rows = mx.full((2, 64), value)
    packed, scales, biases = quantize_rows(rows, QuantFormat(64, 4), mx.bfloat16).parts
    assert mx.array_equal(mx.dequantize(packed, scales, biases, 64, 4), rows.astype(mx.bfloat16))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_show_in_both_sums(value: float) -> None:
    rows = mx.ones((2, 64))
    rows[1, 3] = value
    for stored in (
        quantize_rows(rows, QuantFormat(64, 4), mx.bfloat16),
        cast_rows(rows, mx.bfloat16),
    ):
        assert not np.isfinite(stored.squared_norm)
        assert not np.isfinite(stored.squared_error)


def test_a_cast_out_of_range_shows_in_the_error_alone() -> None:
    stored = cast_rows(mx.full((4,), 1e6), mx.float16)
    assert np.isfinite(stored.squared_norm)
    assert not np.isfinite(stored.squared_error)


def test_the_starting_grid_has_zero_on_a_level() -> None:
    groups = mx.random.normal((8, 4, 32)) * 0.1
    grid = starting_grid(groups, 4, mx.float32)
    level = -grid.biases / grid.scales
    assert mx.allclose(level, mx.round(level), atol=1e-4)


def _squared_error(rows: mx.array, parts: tuple[mx.array, ...], bits: int, group: int) -> float:
    packed, scales, biases = parts
    exact = [scales.astype(mx.float32), biases.astype(mx.float32)]
    stored = mx.dequantize(packed, *exact, group_size=group, bits=bits)
    return float(mx.sum(mx.square(rows.astype(mx.float32) - stored)))
