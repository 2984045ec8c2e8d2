"""What the inputs of some matrices add up to: how they go together, and how far they drifted.

With rows x of inputs as the source has them and y as they reach the matrix in the result so far,
H is the sum of y yᵀ, and what the result lacks is predicted from what it has by least squares:
K = H⁻¹ sum of y (x - y)ᵀ, so that x is about y + Kᵀ y. A matrix W therefore does best to aim at
W + W Kᵀ, which undoes the foreseeable part of all earlier rounding (the asymmetric calibration of
GPTAQ, arXiv 2504.02692, with the correction folded into the weights before they are rounded).
"""

from collections.abc import Sequence

import numpy as np

from magistral_convert.rounding.dense import Array, library, like, product, working
from magistral_convert.rounding.feedback import (
    FloatArray,
    damped_diagonal,
    factor_hessian,
    has_enough_tokens,
    solve,
)
from magistral_convert.rounding.methods import ColumnStatistics, CurvatureBlock

# A full H of down_proj's 32,768 columns would take 4.3 GB and its Cholesky as much again; the
# blocks on the diagonal keep most of the gain.
_BLOCK_COLUMNS = 8192


class ColumnSums:
    """The diagonal of H; with ``has_curvature`` H in blocks; with ``has_drift`` the drift too."""

    def __init__(self, *, has_curvature: bool, has_drift: bool = False) -> None:
        self._has_curvature = has_curvature
        self._has_drift = has_drift
        self._tokens = 0
        self._squares: FloatArray | None = None
        self._blocks: list[_Block] = []
        self._statistics: ColumnStatistics | None = None

    def add(self, exact: Array, drifted: Array, weights: FloatArray | None = None) -> None:
        """Add rows of inputs (tokens, C) in float32, of the source and of the result.

        ``weights`` (tokens,) tells how often each is to count.
        """
        if weights is not None:
            roots = like(working(np.sqrt(weights)), drifted)[:, None]
            exact, drifted = exact * roots, drifted * roots
        tokens, columns = drifted.shape
        self._tokens += tokens
        squares = np.array(library(drifted).sum(drifted * drifted, axis=0))
        self._squares = squares if self._squares is None else self._squares + squares
        if not self._has_curvature:
            return
        if not self._blocks:
            self._blocks = [_Block(*span, self._has_drift) for span in column_spans(columns)]
        for block in self._blocks:
            block.add(exact, drifted)

    def statistics(self, group_sizes: Sequence[int]) -> ColumnStatistics:
        """Factor what was added, once, for groups of these sizes; the sums are dropped with it."""
        if self._statistics is None:
            assert self._squares is not None
            factored = []
            while self._blocks:
                factored.append(self._blocks.pop(0).factored(group_sizes, self._tokens))
            importance = working(damped_diagonal(self._squares))
            self._statistics = ColumnStatistics(importance, tuple(factored))
        return self._statistics


class _Block:
    """Sums over the columns ``begin`` to ``end``."""

    def __init__(self, begin: int, end: int, has_drift: bool) -> None:
        self._columns = slice(begin, end)
        self._hessian = np.zeros((end - begin, end - begin), np.float32)
        self._drift = np.zeros_like(self._hessian) if has_drift else None

    def add(self, exact: Array, drifted: Array) -> None:
        there = drifted[:, self._columns]
        self._hessian += np.asarray(product(there.T, there))
        if self._drift is not None:
            self._drift += np.asarray(product(there.T, exact[:, self._columns] - there))

    def factored(self, group_sizes: Sequence[int], tokens: int) -> CurvatureBlock:
        curvature = factor_hessian(self._hessian, group_sizes, tokens)
        correction = None
        # Of too few tokens least squares would only learn the noise.
        if self._drift is not None and has_enough_tokens(len(self._drift), tokens):
            correction = solve(curvature, self._drift).T
        return CurvatureBlock(self._columns.start, curvature, correction)


def column_spans(columns: int) -> Sequence[tuple[int, int]]:
    """Equal spans of at most _BLOCK_COLUMNS, whole groups each."""
    count = -(-columns // _BLOCK_COLUMNS)
    step = -(-columns // count // 128) * 128
    return [(begin, min(begin + step, columns)) for begin in range(0, columns, step)]
