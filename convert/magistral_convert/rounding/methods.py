"""The three ways to choose codes, one call: plain, weighted search, or feedback where it pays.

What the inputs of a matrix look like comes in as ColumnStatistics; where it comes from is the
calibration's business.
"""

from dataclasses import dataclass, replace

import mlx.core as mx

from mlx_magistral.model.quant_config import QuantFormat

from .dense import Array, as_mlx, library, like, product, working
from .descent import descend
from .feedback import Curvature, Rounding, round_with_feedback, row_losses
from .packing import pack_codes
from .quantize import (
    Grid,
    StoredRows,
    cast_rows,
    nearest_codes,
    quantize_rows,
    squared_sum,
    starting_grid,
)
from .weighted import weighted_grid


@dataclass(frozen=True)
class CurvatureBlock:
    """The curvature of the columns from ``begin``; blocks follow one another without a gap."""

    begin: int
    curvature: Curvature
    # Rows W (R, C) had better be W + W @ correction (C, C) + addition (R, C).
    correction: Array | None = None
    addition: Array | None = None


@dataclass(frozen=True)
class ColumnStatistics:
    """What is known of a matrix's inputs: the damped mean square of each, and how they go together.

    Without ``blocks`` the weighted search is all that can be done.
    """

    importance: Array  # (C,) > 0
    blocks: tuple[CurvatureBlock, ...] = ()

    def of_rows(self, begin: int, end: int) -> "ColumnStatistics":
        """What is known for these rows of a matrix."""
        blocks = [
            block if block.addition is None else replace(block, addition=block.addition[begin:end])
            for block in self.blocks
        ]
        return replace(self, blocks=tuple(blocks))


@dataclass(frozen=True)
class _Choice:
    codes: Array  # (R, C) float32 integers
    grid: Grid
    losses: Array  # (R,): e H eᵀ of each row, or its diagonal part without blocks


def store_rows(
    rows: mx.array,
    format: QuantFormat | None,
    dtype: mx.Dtype,
    statistics: ColumnStatistics | None = None,
) -> StoredRows:
    """Store rows (R, C) in ``format``, or cast them where it is None.

    Statistics are of these rows (``of_rows``). With them every row takes the candidate whose output
    error on the calibration inputs is the least, so none is ever worse than plain; the errors kept
    are those to ``rows`` themselves.
    """
    if format is None:
        return cast_rows(rows, dtype)
    if statistics is None:
        return quantize_rows(rows, format, dtype)
    exact = working(rows)
    target = _corrected(exact, statistics)
    grid = starting_grid(_grouped(target, format), format.bits, dtype)
    plain = _choice(target, format, grid, statistics)
    # Where errors are fed back, the search by itself wins no row.
    find = _fed_back if statistics.blocks else _searched
    best = _better(plain, find(target, format, dtype, statistics))
    return _stored(exact, best, plain, format, dtype)


def _corrected(rows: Array, statistics: ColumnStatistics) -> Array:
    """What rounding aims at: the rows that make good what the result lacks before them."""
    if not statistics.blocks:
        return rows
    parts = []
    for block in statistics.blocks:
        exact = part = _columns(rows, block)
        if block.correction is not None:
            part = part + product(exact, block.correction)
        if block.addition is not None:
            part = part + like(block.addition, part)
        parts.append(part)
    return library(rows).concatenate(parts, axis=1)


def _searched(
    rows: Array, format: QuantFormat, dtype: mx.Dtype, statistics: ColumnStatistics
) -> _Choice:
    groups = _grouped(rows, format).swapaxes(0, 1)  # (G, R, g)
    importance = statistics.importance.reshape(-1, format.group_size)
    grid = weighted_grid(groups, importance, format.bits, dtype)
    return _choice(rows, format, Grid(grid.scales.T, grid.biases.T), statistics)


def _fed_back(
    rows: Array, format: QuantFormat, dtype: mx.Dtype, statistics: ColumnStatistics
) -> _Choice:
    xp = library(rows)
    parts = [
        _rounded(_columns(rows, block), block.curvature, format, dtype)
        for block in statistics.blocks
    ]
    grid = Grid(
        xp.concatenate([part.grid.scales for part in parts], axis=1),
        xp.concatenate([part.grid.biases for part in parts], axis=1),
    )
    codes = xp.concatenate([part.codes for part in parts], axis=1)
    return _Choice(codes, grid, sum(part.loss for part in parts))


def _rounded(rows: Array, curvature: Curvature, format: QuantFormat, dtype: mx.Dtype) -> Rounding:
    rounding = round_with_feedback(rows, curvature, format, dtype)
    return descend(rows, rounding, curvature, format, dtype)


def _choice(rows: Array, format: QuantFormat, grid: Grid, statistics: ColumnStatistics) -> _Choice:
    """The nearest codes on a grid, and their losses."""
    groups = _grouped(rows, format)
    codes, _ = nearest_codes(groups, grid, format.bits)
    errors = (groups - _values(codes, grid)).reshape(rows.shape)
    if statistics.blocks:
        losses = sum(row_losses(_columns(errors, b), b.curvature) for b in statistics.blocks)
    else:
        losses = (errors * errors) @ statistics.importance
    return _Choice(codes.reshape(rows.shape), grid, losses)


def _better(one: _Choice, other: _Choice) -> _Choice:
    xp = library(one.codes)
    is_other = (other.losses < one.losses)[:, None]
    return _Choice(
        xp.where(is_other, other.codes, one.codes),
        Grid(
            xp.where(is_other, other.grid.scales, one.grid.scales),
            xp.where(is_other, other.grid.biases, one.grid.biases),
        ),
        xp.minimum(one.losses, other.losses),
    )


def _stored(
    rows: Array, choice: _Choice, plain: _Choice, format: QuantFormat, dtype: mx.Dtype
) -> StoredRows:
    xp = library(rows)
    errors = _grouped(rows, format) - _values(_grouped(choice.codes, format), choice.grid)
    packed = pack_codes(as_mlx(choice.codes).astype(mx.uint8), format.bits)
    parts = (packed, *choice.grid.stored(dtype))
    mx.eval(*parts)
    loss, plain_loss = (float(xp.sum(each.losses)) for each in (choice, plain))
    return StoredRows(parts, squared_sum(errors), squared_sum(rows), loss, plain_loss)


def _columns(rows: Array, block: CurvatureBlock) -> Array:
    return rows[:, block.begin : block.begin + block.curvature.order.size]


def _grouped(rows: Array, format: QuantFormat) -> Array:
    return rows.reshape(rows.shape[0], -1, format.group_size)


def _values(codes: Array, grid: Grid) -> Array:
    return grid.scales[..., None] * codes + grid.biases[..., None]
