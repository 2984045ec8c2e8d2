"""Weighted search and feedback against naive code, and the promise that no row gets worse."""

import mlx.core as mx
import numpy as np
import pytest

from magistral_convert.rounding import feedback
from magistral_convert.rounding.dense import as_stored
from magistral_convert.rounding.feedback import (
    Curvature,
    damped_diagonal,
    damping,
    factor_hessian,
    round_with_feedback,
    row_losses,
)
from magistral_convert.rounding.methods import ColumnStatistics, CurvatureBlock, store_rows
from magistral_convert.rounding.quantize import Grid, nearest_codes, starting_grid
from magistral_convert.rounding.weighted import weighted_grid
from mlx_magistral.model.quant_config import QuantFormat

_FORMAT = QuantFormat(group_size=32, bits=4)
_TOKENS = 600


def _damped(hessian: np.ndarray) -> np.ndarray:
    return damped_diagonal(np.diag(hessian), damping(len(hessian), _TOKENS))


def _hessian(columns: int, tokens: int = _TOKENS, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mix = generator.standard_normal((columns, columns)) / np.sqrt(columns)
    scale = np.exp(0.7 * generator.standard_normal(columns))
    inputs = (generator.standard_normal((tokens, columns)) @ mix * scale).astype(np.float32)
    return inputs.T @ inputs


def _rows(rows: int, columns: int, seed: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((rows, columns)) * 0.02
    return values.astype(np.float32)


def _values(codes: np.ndarray, grid: Grid, size: int) -> np.ndarray:
    scales, biases = (np.repeat(part, size, axis=1) for part in (grid.scales, grid.biases))
    return codes * scales + biases


def _naive_gptq(rows: np.ndarray, damped: np.ndarray, grid: Grid, order: np.ndarray) -> np.ndarray:
    """Textbook GPTQ on a given grid: the inverse of H, one column at a time, weights rewritten."""
    weights = rows.astype(np.float64)[:, order]
    inverse = np.linalg.inv(damped.astype(np.float64)[np.ix_(order, order)])
    upper = np.linalg.cholesky(inverse).T
    size = rows.shape[1] // grid.scales.shape[1]
    scales = np.repeat(grid.scales, size, axis=1)[:, order]
    biases = np.repeat(grid.biases, size, axis=1)[:, order]
    codes = np.zeros_like(weights)
    for column in range(weights.shape[1]):
        position = (weights[:, column] - biases[:, column]) / scales[:, column]
        codes[:, column] = np.clip(np.round(position), 0, 15)
        value = codes[:, column] * scales[:, column] + biases[:, column]
        miss = (weights[:, column] - value) / upper[column, column]
        weights[:, column + 1 :] -= np.outer(miss, upper[column, column + 1 :])
    result = np.empty_like(codes)
    result[:, order] = codes
    return result


def test_feedback_makes_the_choices_of_textbook_gptq() -> None:
    hessian, rows = _hessian(96), _rows(20, 96)
    curvature = factor_hessian(hessian, 32, _TOKENS)
    rounding = round_with_feedback(rows, curvature, _FORMAT, mx.bfloat16)
    damped = hessian.copy()
    np.fill_diagonal(damped, _damped(hessian))
    expected = _naive_gptq(rows, damped, rounding.grid, curvature.order)
    # The same sums in another order: a value half way between two codes may fall either way.
    assert np.mean(rounding.codes == expected) > 0.995


@pytest.mark.parametrize("bits", [4, 8])
def test_every_row_keeps_the_luckiest_of_the_grids_near_the_search_s(
    bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One group, so that no choice changes what a later group sees.
    hessian, rows = _hessian(32), _rows(40, 32)
    curvature, format = factor_hessian(hessian, 32, _TOKENS), QuantFormat(32, bits)

    def losses() -> np.ndarray:
        rounding = round_with_feedback(rows, curvature, format, mx.bfloat16)
        errors = rows - _values(rounding.codes, rounding.grid, 32)
        return row_losses(errors, curvature)

    best = losses()
    each = []
    for widening in feedback._WIDENINGS:
        for shift in feedback._SHIFTS:
            with monkeypatch.context() as patch:
                patch.setattr(feedback, "_WIDENINGS", (widening,))
                patch.setattr(feedback, "_SHIFTS", (shift,))
                each.append(losses())
    assert np.allclose(best, np.min(each, axis=0), rtol=1e-3)
    searched = each[len(each) // 2]  # neither wider nor shifted
    assert best.sum() < 0.92 * searched.sum()


def test_rows_rounded_in_slices_are_rounded_as_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, curvature = _rows(20, 96), factor_hessian(_hessian(96), 32, _TOKENS)
    together = round_with_feedback(rows, curvature, _FORMAT, mx.bfloat16)
    monkeypatch.setattr(feedback, "_TRIED_WEIGHTS", 3 * 25 * 32)
    sliced = round_with_feedback(rows, curvature, _FORMAT, mx.bfloat16)
    assert np.array_equal(together.codes, sliced.codes)
    assert np.allclose(together.loss, sliced.loss, rtol=1e-5)


def test_the_losses_are_the_quadratic_form() -> None:
    hessian, rows = _hessian(96), _rows(20, 96)
    curvature = factor_hessian(hessian, 32, _TOKENS)
    rounding = round_with_feedback(rows, curvature, _FORMAT, mx.bfloat16)
    errors = rows - _values(rounding.codes, rounding.grid, 32)
    np.fill_diagonal(hessian, _damped(hessian))
    direct = np.einsum("ri,ij,rj->r", errors, hessian, errors)
    assert np.allclose(rounding.loss, direct, rtol=1e-4)
    assert np.allclose(row_losses(errors, curvature), direct, rtol=1e-4)


def test_the_factors_multiply_to_h() -> None:
    hessian = _hessian(64)
    curvature = factor_hessian(hessian, 32, _TOKENS)
    factor, weight = curvature.feedback, curvature.weight
    assert np.allclose(np.triu(factor), factor)
    assert np.allclose(np.diag(factor), 1)
    expected = hessian[np.ix_(curvature.order, curvature.order)]
    np.fill_diagonal(expected, _damped(hessian)[curvature.order])
    assert np.allclose(factor * weight @ factor.T, expected, rtol=1e-3, atol=1e-2)


def test_groups_stay_together_and_the_important_come_first() -> None:
    hessian = np.diag(np.arange(1, 97, dtype=np.float32))
    order = factor_hessian(hessian, 32, _TOKENS).order
    assert list(order) == list(range(95, -1, -1))
    hessian[0, 0] = 1e6
    order = factor_hessian(hessian, 32, _TOKENS).order
    assert list(order[:2]) == [0, 31]


def test_columns_no_input_reaches_are_rounded_all_the_same() -> None:
    hessian = _hessian(64)
    hessian[:, 10:50] = hessian[10:50] = 0
    rounding = round_with_feedback(
        _rows(8, 64), factor_hessian(hessian, 32, _TOKENS), _FORMAT, mx.bfloat16
    )
    assert np.all(np.isfinite(rounding.loss))
    nothing = factor_hessian(np.zeros((64, 64), np.float32), 32, _TOKENS)
    assert np.all(np.isfinite(nothing.feedback))


@pytest.mark.parametrize("bits", [3, 4, 5, 6, 8])
def test_the_search_never_loses_to_plain(bits: int) -> None:
    groups = _rows(32, 128).reshape(32, 4, 32).swapaxes(0, 1)  # (G, R, g)
    importance = np.diag(_hessian(128)).reshape(4, 32)

    def loss(grid: Grid) -> np.ndarray:
        codes, _ = nearest_codes(groups, grid, bits)
        values = codes * grid.scales[..., None] + grid.biases[..., None]
        return (importance[:, None] * np.square(groups - values)).sum(axis=-1)

    plain = loss(starting_grid(groups, bits, mx.bfloat16))
    searched = loss(weighted_grid(groups, importance, bits, mx.bfloat16))
    assert np.all(searched <= plain * (1 + 1e-5))
    assert searched.sum() < 0.97 * plain.sum()


def test_a_constant_group_survives_the_search() -> None:
    groups = np.full((1, 2, 32), 0.5, np.float32)
    grid = weighted_grid(groups, np.ones((1, 32), np.float32), 4, mx.bfloat16)
    codes, error = nearest_codes(groups, grid, 4)
    assert np.max(error) == 0.0


def test_a_stored_number_is_the_one_mlx_would_store() -> None:
    values = np.float32(10.0) ** np.random.default_rng(2).uniform(-20, 4, 5000).astype(np.float32)
    # Half way between two numbers of eight bits: to the even one.
    values[:2] = (1.00390625, 1.01171875)
    for dtype in (mx.bfloat16, mx.float16):
        expected = np.array(mx.array(values).astype(dtype).astype(mx.float32))
        for sign in (1, -1):
            assert np.array_equal(as_stored(sign * values, dtype), sign * expected)


def _statistics(hessian: np.ndarray, block: int = 0) -> ColumnStatistics:
    importance = _damped(hessian)
    blocks = [
        CurvatureBlock(begin, _curvature(hessian[begin : begin + block, begin : begin + block]))
        for begin in range(0, len(hessian), block or len(hessian))
        if block
    ]
    return ColumnStatistics(importance, tuple(blocks))


def _curvature(hessian: np.ndarray) -> Curvature:
    return factor_hessian(hessian, 32, _TOKENS)


@pytest.mark.parametrize("block", [0, 64, 128])
def test_each_method_cuts_the_output_error(block: int) -> None:
    hessian, rows = _hessian(128), _rows(64, 128)
    stored = store_rows(mx.array(rows), _FORMAT, mx.bfloat16, _statistics(hessian, block))
    assert stored.loss < (0.55 if block else 0.75) * stored.plain_loss
    packed, scales, biases = stored.parts
    grid = (scales.astype(mx.float32), biases.astype(mx.float32))
    errors = rows - np.array(mx.dequantize(packed, *grid, group_size=32, bits=4))
    assert stored.squared_error == pytest.approx(float((errors**2).sum()), rel=1e-3)
    if block == 128:
        np.fill_diagonal(hessian, _damped(hessian))
        direct = np.einsum("ri,ij,rj->", errors, hessian, errors)
        assert stored.loss == pytest.approx(direct, rel=1e-3)


def test_row_blocks_equal_the_whole() -> None:
    statistics, rows = _statistics(_hessian(64), 64), mx.array(_rows(16, 64))
    whole = store_rows(rows, _FORMAT, mx.bfloat16, statistics)
    halves = [store_rows(half, _FORMAT, mx.bfloat16, statistics) for half in (rows[:8], rows[8:])]
    for index, part in enumerate(whole.parts):
        assert mx.array_equal(part, mx.concatenate([half.parts[index] for half in halves]))
