"""What the inputs of some matrices add up to: how they go together, and what the result lacks.

With rows x of inputs as the source has them and y as they reach the matrix in the result so far,
H is the sum of y yᵀ, and what the result lacks is predicted from what it has by ridge regression:
K = (H + r)⁻¹ sum of y (x - y)ᵀ, so that x is about y + Kᵀ y. A matrix W therefore does best to aim
at W + W Kᵀ, which undoes the foreseeable part of all earlier rounding (the asymmetric calibration
of GPTAQ, arXiv 2504.02692, with the correction folded into the weights before they are rounded).

A matrix whose output is added to the hidden states can make good what these lack as well: with z of
the source and z' of the result before the addition it aims at the regression of z - z' on y beside.
"""

from collections.abc import Sequence

import numpy as np

from magistral_convert.rounding.dense import Array, library, like, product, working
from magistral_convert.rounding.feedback import (
    FloatArray,
    damped_diagonal,
    factor_hessian,
    has_enough_tokens,
)
from magistral_convert.rounding.methods import ColumnStatistics, CurvatureBlock

# A full H of down_proj's 32,768 columns would take 4.3 GB and its Cholesky as much again; the
# blocks on the diagonal keep most of the gain.
_BLOCK_COLUMNS = 8192
# The share of the mean diagonal that regression adds to H. On eight layers of one real model, from
# 16,384 tokens, 0.3 left 0.78 of the KL that making good the drift alone left; 0.1 left 0.84, and
# the 0.01 that rounding wants 0.93.
_RIDGE = 0.3


class ColumnSums:
    """The diagonal of H; with ``has_curvature`` H in blocks; with ``has_drift`` what lacks too."""

    def __init__(self, *, has_curvature: bool, has_drift: bool = False) -> None:
        self._has_curvature = has_curvature
        self._has_drift = has_drift
        self._tokens = 0
        self._squares: FloatArray | None = None
        self._blocks: list[_Block] = []
        self._statistics: ColumnStatistics | None = None

    def add(
        self,
        exact: Array,
        drifted: Array,
        weights: FloatArray | None = None,
        lag: Array | None = None,
    ) -> None:
        """Add rows of inputs (tokens, C) in float32, of the source and of the result.

        ``weights`` (tokens,) tells how often each is to count; ``lag`` (tokens, R) is what the
        hidden states of the result lack of the source's where the output is added to them.
        """
        if weights is not None:
            roots = like(working(np.sqrt(weights)), drifted)[:, None]
            exact, drifted = exact * roots, drifted * roots
            lag = None if lag is None else lag * roots
        tokens, columns = drifted.shape
        self._tokens += tokens
        squares = np.array(library(drifted).sum(drifted * drifted, axis=0))
        self._squares = squares if self._squares is None else self._squares + squares
        if not self._has_curvature:
            return
        if not self._blocks:
            self._blocks = [_Block(*span, self._has_drift) for span in column_spans(columns)]
        for block in self._blocks:
            # Each block predicts the whole of the lag; their mean is no worse than they are.
            block.add(exact, drifted, None if lag is None else lag / len(self._blocks))

    def statistics(self, group_size: int) -> ColumnStatistics:
        """Factor what was added, once, for groups of this size; the sums are dropped with it."""
        if self._statistics is None:
            assert self._squares is not None
            factored = []
            while self._blocks:
                factored.append(self._blocks.pop(0).factored(group_size, self._tokens))
            importance = working(damped_diagonal(self._squares))
            self._statistics = ColumnStatistics(importance, tuple(factored))
        return self._statistics


class _Block:
    """Sums over the columns ``begin`` to ``end``."""

    def __init__(self, begin: int, end: int, has_drift: bool) -> None:
        self._columns = slice(begin, end)
        self._hessian = np.zeros((end - begin, end - begin), np.float32)
        self._drift = np.zeros_like(self._hessian) if has_drift else None
        self._lag: FloatArray | None = None

    def add(self, exact: Array, drifted: Array, lag: Array | None) -> None:
        there = drifted[:, self._columns]
        self._hessian += np.asarray(product(there.T, there))
        if self._drift is None:
            return
        self._drift += np.asarray(product(there.T, exact[:, self._columns] - there))
        if lag is not None:
            found = np.asarray(product(there.T, lag))
            self._lag = found if self._lag is None else self._lag + found

    def factored(self, group_size: int, tokens: int) -> CurvatureBlock:
        correction = addition = None
        if self._drift is not None:
            damped = self._hessian.copy()
            np.fill_diagonal(damped, damped_diagonal(np.diag(damped), _RIDGE))
            correction = np.linalg.solve(damped, self._drift).T
            addition = None if self._lag is None else np.linalg.solve(damped, self._lag).T
        del self._drift, self._lag
        curvature = factor_hessian(self._hessian, group_size, tokens)
        return CurvatureBlock(self._columns.start, curvature, correction, addition)


def is_foretold(columns: int, tokens: int) -> bool:
    """Whether what the result lacks is made good: from few tokens regression learns their noise."""
    return has_enough_tokens(max(end - begin for begin, end in column_spans(columns)), tokens)


def column_spans(columns: int) -> Sequence[tuple[int, int]]:
    """Equal spans of at most _BLOCK_COLUMNS, whole groups each."""
    count = -(-columns // _BLOCK_COLUMNS)
    step = -(-columns // count // 128) * 128
    return [(begin, min(begin + step, columns)) for begin in range(0, columns, step)]
