"""The factor in place, against numpy's, and what factoring H takes."""

import tracemalloc

import numpy as np
import pytest

from magistral_convert.rounding.cholesky import lower_factor
from magistral_convert.rounding.feedback import factor_hessian


def _definite(size: int) -> np.ndarray:
    inputs = np.random.default_rng(size).standard_normal((2 * size, size))
    return inputs.T @ inputs


@pytest.mark.parametrize("size", [1, 64, 256, 257, 700])
def test_the_factor_is_numpy_s_with_zeros_above(size: int) -> None:
    matrix = _definite(size)
    found = matrix.copy()
    lower_factor(found)
    assert np.allclose(found, np.linalg.cholesky(matrix), rtol=1e-9, atol=1e-9)
    assert not np.triu(found, k=1).any()


def test_a_matrix_that_is_not_definite_raises() -> None:
    matrix = _definite(600)
    matrix[500, 500] = -1
    with pytest.raises(np.linalg.LinAlgError):
        lower_factor(matrix)


def test_factoring_takes_three_times_the_size_of_the_hessian() -> None:
    hessian = _definite(2048).astype(np.float32)
    tracemalloc.start()
    factor_hessian(hessian, 64, 10**6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3.75 * hessian.nbytes
