"""Coordinate descent against naive code on H itself, and the promise that no row gets worse."""

import mlx.core as mx
import numpy as np
import pytest

from magistral_convert.rounding import descent
from magistral_convert.rounding.feedback import (
    Curvature,
    Rounding,
    damped_diagonal,
    damping,
    factor_hessian,
    round_with_feedback,
)
from mlx_magistral.model.quant_config import QuantFormat

_TOKENS = 600
_SIZE = 32
_COLUMNS = 128


@pytest.fixture(scope="module")
def hessian() -> np.ndarray:
    """X^T X of inputs that go together, damped."""
    generator = np.random.default_rng(0)
    mix = generator.standard_normal((_COLUMNS, _COLUMNS)) / np.sqrt(_COLUMNS)
    scale = np.exp(0.7 * generator.standard_normal(_COLUMNS))
    inputs = generator.standard_normal((_TOKENS, _COLUMNS)) @ mix * scale
    return (inputs.T @ inputs).astype(np.float32)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    values = np.random.default_rng(1).standard_normal((40, _COLUMNS)) * 0.02
    return values.astype(np.float32)


def _damped(hessian: np.ndarray) -> np.ndarray:
    damped = hessian.astype(np.float64)
    np.fill_diagonal(damped, damped_diagonal(np.diag(hessian), damping(_COLUMNS, _TOKENS)))
    return damped


def _parts(rounding: Rounding) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes (R, G, g), scales and biases (R, G), in storage order."""
    scales, biases = (np.array(each) for each in (rounding.grid.scales, rounding.grid.biases))
    codes = np.array(rounding.codes)
    return codes.reshape(len(codes), -1, _SIZE), scales, biases


def _errors(rows: np.ndarray, rounding: Rounding) -> np.ndarray:
    codes, scales, biases = _parts(rounding)
    values = codes * scales[..., None] + biases[..., None]
    return np.array(rows).astype(np.float64) - values.reshape(rows.shape)


def _losses(errors: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    return np.einsum("ri,ij,rj->r", errors, hessian, errors)


def _naive(
    row: np.ndarray, start: tuple[np.ndarray, ...], hessian: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """One row, one pass, one number at a time: the best grid of each group, then its codes."""
    codes, scales, biases = (part.astype(np.float64) for part in start)

    def loss() -> float:
        errors = row - (codes * scales[:, None] + biases[:, None]).reshape(-1)
        return float(errors @ hessian @ errors)

    for group in (order[::_SIZE] // _SIZE).tolist():
        old = scales[group], biases[group], loss()
        basis = np.zeros((2, len(row)))
        span = slice(group * _SIZE, group * _SIZE + _SIZE)
        basis[0, span], basis[1, span] = codes[group], 1
        errors = row - (codes * scales[:, None] + biases[:, None]).reshape(-1)
        errors[span] = row[span]
        curve = basis @ hessian @ basis.T
        scales[group] = _stored(np.linalg.solve(curve, basis @ hessian @ errors)[0])
        rest = errors - scales[group] * basis[0]
        biases[group] = _stored(basis[1] @ hessian @ rest / curve[1, 1])
        if loss() >= old[2]:
            scales[group], biases[group] = old[:2]
        for column in order[order // _SIZE == group] % _SIZE:
            tried = []
            for code in range(16):
                codes[group, column] = code
                tried.append(loss())
            codes[group, column] = np.argmin(tried)
    return codes


def _stored(value: float) -> float:
    return float(mx.array(value, mx.float32).astype(mx.bfloat16).astype(mx.float32))


def test_a_pass_makes_the_choices_of_naive_descent(
    hessian: np.ndarray, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descent, "PASSES", 1)
    few, format = rows[:6], QuantFormat(_SIZE, 4)
    curvature = factor_hessian(hessian, _SIZE, _TOKENS)
    start = round_with_feedback(few, curvature, format, mx.bfloat16)
    found, *_ = _parts(descent.descend(few, start, curvature, format, mx.bfloat16))
    parts = _parts(start)
    naive = [
        _naive(np.array(row), tuple(part[i] for part in parts), _damped(hessian), curvature.order)
        for i, row in enumerate(few)
    ]
    # Sums in another order: a scale between two stored values may be rounded either way.
    assert np.mean(found == np.stack(naive)) > 0.98


@pytest.mark.parametrize("bits", [3, 4, 5, 6, 8])
def test_no_row_gets_worse_and_all_together_better(
    bits: int, hessian: np.ndarray, rows: np.ndarray
) -> None:
    format = QuantFormat(_SIZE, bits)
    curvature = factor_hessian(hessian, _SIZE, _TOKENS)
    start = round_with_feedback(rows, curvature, format, mx.bfloat16)
    end = descent.descend(rows, start, curvature, format, mx.bfloat16)
    before, after = (_losses(_errors(rows, each), _damped(hessian)) for each in (start, end))
    assert np.all(after <= before * (1 + 1e-4))
    assert after.sum() < 0.95 * before.sum()
    assert np.allclose(np.array(end.loss), after, rtol=1e-3)
    codes, *_ = _parts(end)
    assert codes.min() >= 0 and codes.max() < 1 << bits and np.array_equal(codes, codes.round())
    for part in (end.grid.scales, end.grid.biases):
        assert np.array_equal(part, np.array(mx.array(part).astype(mx.bfloat16).astype(mx.float32)))


def test_rows_without_spread_stay_finite(hessian: np.ndarray) -> None:
    rows = np.repeat(np.array([[0.0], [0.5]], np.float32), _COLUMNS, axis=1)
    format = QuantFormat(_SIZE, 4)
    curvature = factor_hessian(hessian, _SIZE, _TOKENS)
    start = round_with_feedback(rows, curvature, format, mx.bfloat16)
    end = descent.descend(rows, start, curvature, format, mx.bfloat16)
    assert np.all(np.array(end.loss) <= np.array(start.loss) + 1e-6)
    assert np.all(np.isfinite(_errors(rows, end)))


@pytest.mark.parametrize("bits", [3, 8])
def test_mlx_s_arrays_are_rounded_as_numpy_s(
    bits: int, hessian: np.ndarray, rows: np.ndarray
) -> None:
    format, curvature = QuantFormat(_SIZE, bits), factor_hessian(hessian, _SIZE, _TOKENS)
    parts = (curvature.feedback, curvature.weight, curvature.importance)
    on_gpu = Curvature(curvature.order, *map(mx.array, parts))
    results = []
    for array, known in ((rows, curvature), (mx.array(rows), on_gpu)):
        start = round_with_feedback(array, known, format, mx.bfloat16)
        results.append(descent.descend(array, start, known, format, mx.bfloat16))
    ours, theirs = results
    assert isinstance(theirs.codes, mx.array)
    # A sum in another order may put a value that lies between two codes on the other one, and all
    # that follows in its row then differs.
    assert np.isclose(np.array(theirs.loss), ours.loss, rtol=1e-3).mean() > 0.9
    assert np.mean(np.array(theirs.codes) == ours.codes) > 0.95
