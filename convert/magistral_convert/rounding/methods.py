"""The three ways to choose codes, one call: plain, weighted search, or feedback where it pays.

What the inputs of a matrix look like comes in as ColumnStatistics; where it comes from is the
calibration's business.
"""

from dataclasses import dataclass

import mlx.core as mx

from mlx_magistral.model.quant_config import QuantFormat

from .dense import product
from .descent import descend
from .feedback import Curvature, Rounding, round_with_feedback, row_losses
from .packing import pack_codes
from .quantize import (
    Grid,
    StoredRows,
    cast_rows,
    nearest_codes,
    number,
    quantize_rows,
    starting_grid,
)
from .weighted import weighted_grid


@dataclass(frozen=True)
class CurvatureBlock:
    """The curvature of the columns from ``begin``; blocks follow one another without a gap."""

    begin: int
    curvature: Curvature
    correction: mx.array | None = None  # (C, C): rows W had better be W + W @ correction


@dataclass(frozen=True)
class ColumnStatistics:
    """What is known of a matrix's inputs: the damped mean square of each, and how they go together.

    Without ``blocks`` the weighted search is all that can be done.
    """

    importance: mx.array  # (C,) > 0
    blocks: tuple[CurvatureBlock, ...] = ()


@dataclass(frozen=True)
class _Choice:
    codes: mx.array  # (R, C) float32 integers
    grid: Grid
    losses: mx.array  # (R,): e H eᵀ of each row, or its diagonal part without blocks


def store_rows(
    rows: mx.array,
    format: QuantFormat | None,
    dtype: mx.Dtype,
    statistics: ColumnStatistics | None = None,
) -> StoredRows:
    """Store rows (R, C) in ``format``, or cast them where it is None.

    With statistics every row takes the candidate whose output error on the calibration inputs is
    the least, so none is ever worse than plain; the errors kept are those to ``rows`` themselves.
    """
    if format is None:
        return cast_rows(rows, dtype)
    if statistics is None:
        return quantize_rows(rows, format, dtype)
    exact = rows.astype(mx.float32)
    target = _corrected(exact, statistics)
    grid = starting_grid(_grouped(target, format), format.bits, dtype)
    plain = _choice(target, format, grid, statistics)
    best = _better(plain, _searched(target, format, dtype, statistics))
    if statistics.blocks:
        best = _better(best, _fed_back(target, format, dtype, statistics))
    return _stored(exact, best, plain, format)


def _corrected(rows: mx.array, statistics: ColumnStatistics) -> mx.array:
    """What rounding aims at: the rows that make good the drift of their inputs."""
    if not statistics.blocks:
        return rows
    parts = []
    for block in statistics.blocks:
        part = _columns(rows, block)
        if block.correction is not None:
            part = part + product(part, block.correction)
        parts.append(part)
    return mx.concatenate(parts, axis=1)


def _searched(
    rows: mx.array, format: QuantFormat, dtype: mx.Dtype, statistics: ColumnStatistics
) -> _Choice:
    importance = statistics.importance.reshape(-1, format.group_size)
    grid = weighted_grid(_grouped(rows, format), importance, format.bits, dtype)
    return _choice(rows, format, grid, statistics)


def _fed_back(
    rows: mx.array, format: QuantFormat, dtype: mx.Dtype, statistics: ColumnStatistics
) -> _Choice:
    parts = [
        _rounded(_columns(rows, block), block.curvature, format, dtype)
        for block in statistics.blocks
    ]
    return _Choice(
        mx.concatenate([part.codes for part in parts], axis=1),
        Grid(
            mx.concatenate([part.grid.scales for part in parts], axis=1),
            mx.concatenate([part.grid.biases for part in parts], axis=1),
        ),
        sum((part.loss for part in parts), mx.zeros((rows.shape[0],))),
    )


def _rounded(
    rows: mx.array, curvature: Curvature, format: QuantFormat, dtype: mx.Dtype
) -> Rounding:
    rounding = round_with_feedback(rows, curvature, format, dtype)
    return descend(rows, rounding, curvature, format)


def _choice(
    rows: mx.array, format: QuantFormat, grid: Grid, statistics: ColumnStatistics
) -> _Choice:
    """The nearest codes on a grid, and their losses."""
    groups = _grouped(rows, format)
    codes, _ = nearest_codes(groups, grid, format.bits)
    errors = (groups - _values(codes, grid)).reshape(rows.shape)
    losses = mx.sum(mx.square(errors) * statistics.importance, axis=1)
    if statistics.blocks:
        shares = [row_losses(_columns(errors, b), b.curvature) for b in statistics.blocks]
        losses = sum(shares, mx.zeros_like(losses))
    return _Choice(codes.reshape(rows.shape), grid, losses)


def _better(one: _Choice, other: _Choice) -> _Choice:
    is_other = (other.losses < one.losses)[:, None]
    return _Choice(
        mx.where(is_other, other.codes, one.codes),
        Grid(
            mx.where(is_other, other.grid.scales, one.grid.scales),
            mx.where(is_other, other.grid.biases, one.grid.biases),
        ),
        mx.minimum(one.losses, other.losses),
    )


def _stored(rows: mx.array, choice: _Choice, plain: _Choice, format: QuantFormat) -> StoredRows:
    values = _values(_grouped(choice.codes, format), choice.grid)
    error = mx.sum(mx.square(_grouped(rows, format) - values))
    norm = mx.sum(mx.square(rows))
    packed = pack_codes(choice.codes.astype(mx.uint8), format.bits)
    parts = (packed, mx.contiguous(choice.grid.scales), mx.contiguous(choice.grid.biases))
    loss, plain_loss = mx.sum(choice.losses), mx.sum(plain.losses)
    mx.eval(*parts, error, norm, loss, plain_loss)
    return StoredRows(parts, number(error), number(norm), number(loss), number(plain_loss))


def _columns(rows: mx.array, block: CurvatureBlock) -> mx.array:
    return rows[:, block.begin : block.begin + block.curvature.order.size]


def _grouped(rows: mx.array, format: QuantFormat) -> mx.array:
    return rows.reshape(rows.shape[0], -1, format.group_size)


def _values(codes: mx.array, grid: Grid) -> mx.array:
    scales = grid.scales.astype(mx.float32)[..., None]
    return scales * codes + grid.biases.astype(mx.float32)[..., None]
