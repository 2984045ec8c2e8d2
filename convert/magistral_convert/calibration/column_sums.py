"""What the inputs of some matrices add up to: how they go together, and what the result lacks.

With rows y of inputs as they reach a matrix in the result so far, H is the sum of y yᵀ. What the
result lacks beside them, in rows l, is predicted by ridge regression: (H + r)⁻¹ sum of y lᵀ.

With rows x of inputs as the source has them, l = x - y gives a K so that x is about y + Kᵀ y. A
matrix W therefore does best to aim at W + W Kᵀ, which undoes the foreseeable part of all earlier
rounding (the asymmetric calibration of GPTAQ, arXiv 2504.02692, with the correction folded into the
weights before they are rounded).

A matrix whose output is added to the hidden states can make good what these lack as well: with z of
the source and z' of the result before the addition, l = W x + z - z' - W y gives at once what W had
better have beside itself. The sum of y (W y)ᵀ is H Wᵀ, so W y itself is never computed.
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
    """The diagonal of H; with ``has_curvature`` H in blocks, and what the result lacks if told.

    That is of the inputs, which corrects rows, or ``of_outputs``, which is added to them.
    """

    def __init__(self, *, has_curvature: bool, of_outputs: bool = False) -> None:
        self._has_curvature = has_curvature
        self._of_outputs = of_outputs
        self._tokens = 0
        self._squares: FloatArray | None = None
        self._blocks: list[_Block] = []
        self._statistics: ColumnStatistics | None = None

    def add(
        self,
        inputs: Array,
        lacks: Sequence[Array] | None = None,
        weights: FloatArray | None = None,
    ) -> None:
        """Add rows of inputs (tokens, C) in float32, as they reach the matrix in the result.

        ``lacks`` are what each block of columns (column_spans) is to predict, (tokens, N) each;
        ``weights`` (tokens,) tells how often each row is to count.
        """
        self._tokens += len(inputs)
        self.count_more(inputs, lacks, weights)

    def count_more(
        self, inputs: Array, lacks: Sequence[Array] | None, weights: FloatArray | None
    ) -> None:
        """Let rows that were added count so much more, each by its weight."""
        roots = None
        if weights is not None:
            roots = like(working(np.sqrt(weights)), inputs)[:, None]
            inputs = inputs * roots
        if not self._has_curvature:
            squares = np.array(library(inputs).sum(inputs * inputs, axis=0))
            self._squares = squares if self._squares is None else self._squares + squares
            return
        if not self._blocks:
            spans = column_spans(inputs.shape[1])
            self._blocks = [_Block(*span, self._of_outputs) for span in spans]
        for number, block in enumerate(self._blocks):
            lack = None if lacks is None else lacks[number]
            block.add(inputs, lack if lack is None or roots is None else lack * roots)

    def take_off(self, matrix: Array) -> None:
        """Let each block's ``lacks`` have been less by what its inputs make of a matrix (R, C)."""
        for block in self._blocks:
            block.take_off(matrix)

    def copy(self) -> "ColumnSums":
        """Sums of their own, to be added to."""
        other = ColumnSums(has_curvature=self._has_curvature, of_outputs=self._of_outputs)
        other._tokens = self._tokens
        other._squares = self._squares  # added to by making a new one
        other._blocks = [block.copy() for block in self._blocks]
        return other

    def statistics(self, group_size: int) -> ColumnStatistics:
        """Factor what was added, once, for groups of this size; the sums are dropped with it."""
        if self._statistics is None:
            squares = self._squares
            if self._has_curvature:
                squares = np.concatenate([block.squares for block in self._blocks])
            assert squares is not None
            factored = []
            while self._blocks:
                factored.append(self._blocks.pop(0).factored(group_size, self._tokens))
            importance = working(damped_diagonal(squares))
            self._statistics = ColumnStatistics(importance, tuple(factored))
        return self._statistics


class _Block:
    """Sums over the columns ``begin`` to ``end``."""

    def __init__(self, begin: int, end: int, of_outputs: bool) -> None:
        self._span = begin, end
        self._of_outputs = of_outputs
        self._hessian = np.zeros((end - begin, end - begin), np.float32)
        self._lacks: FloatArray | None = None

    @property
    def squares(self) -> FloatArray:
        """The diagonal of H."""
        return np.diag(self._hessian)

    def add(self, inputs: Array, lack: Array | None) -> None:
        there = inputs[:, slice(*self._span)]
        self._hessian += np.asarray(product(there.T, there))
        if lack is not None:
            found = np.asarray(product(there.T, lack))
            self._lacks = found if self._lacks is None else self._lacks + found

    def take_off(self, matrix: Array) -> None:
        assert self._lacks is not None
        self._lacks -= np.asarray(product(self._hessian, matrix[:, slice(*self._span)].T))

    def copy(self) -> "_Block":
        other = _Block(*self._span, self._of_outputs)
        other._hessian = self._hessian.copy()
        other._lacks = None if self._lacks is None else self._lacks.copy()
        return other

    def factored(self, group_size: int, tokens: int) -> CurvatureBlock:
        foretold = None
        if self._lacks is not None:
            damped = self._hessian.copy()
            np.fill_diagonal(damped, damped_diagonal(np.diag(damped), _RIDGE))
            foretold = np.linalg.solve(damped, self._lacks).T
        self._lacks = None
        curvature = factor_hessian(self._hessian, group_size, tokens)
        if self._of_outputs:
            return CurvatureBlock(self._span[0], curvature, addition=foretold)
        return CurvatureBlock(self._span[0], curvature, correction=foretold)


def is_foretold(columns: int, tokens: int) -> bool:
    """Whether what the result lacks is made good: from few tokens regression learns their noise."""
    return has_enough_tokens(max(end - begin for begin, end in column_spans(columns)), tokens)


def column_spans(columns: int) -> Sequence[tuple[int, int]]:
    """Equal spans of at most _BLOCK_COLUMNS, whole groups each."""
    count = -(-columns // _BLOCK_COLUMNS)
    step = -(-columns // count // 128) * 128
    return [(begin, min(begin + step, columns)) for begin in range(0, columns, step)]
