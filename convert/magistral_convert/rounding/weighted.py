"""The grid that fits the weights that matter: shrink, refit by least squares, keep the best.

For one set of groups x with importances w: from MLX's own grid, then from the group's range clipped
to a share of itself, scale and bias are refitted twice on the codes they give. The candidate with
the least sum of w * (x - stored)² wins, scored after rounding to the stored dtype.
"""

from typing import NamedTuple

import mlx.core as mx

from .dense import Array, as_stored, library
from .quantize import Grid, nearest_codes, starting_grid

# Few levels profit from clipping the outliers; with 255 there is nothing to gain.
_COARSE = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
_FINE = (1.0, 0.97, 0.94, 0.9)
_SHRINKS: dict[int, tuple[float, ...]] = {3: _COARSE, 4: _COARSE, 5: _FINE, 6: _FINE, 8: (1.0,)}
_REFITS = 2
_LEAST_SCALE = 1e-7


class _Sums(NamedTuple):
    """What every refit of the same groups needs; sums over a group are weighted."""

    offsets: Array  # (..., R, g) the groups less their middles
    weights: Array  # (..., g, 1)
    total: Array  # (..., 1) of the weights
    values: Array  # (..., R) of the offsets
    middle: Array  # (..., R)


def weighted_grid(groups: Array, importance: Array, bits: int, dtype: mx.Dtype) -> Grid:
    """The best grid found for groups (..., R, g) of columns with importance (..., g) > 0.

    The grid has shape (..., R).
    """
    xp = library(groups)
    best = starting_grid(groups, bits, dtype)
    codes, _ = nearest_codes(groups, best, bits)
    low, high = xp.min(groups, axis=-1), xp.max(groups, axis=-1)
    middle, reach = (high + low) / 2, (high - low) / 2
    offsets, weights = groups - middle[..., None], importance[..., None]
    total = xp.sum(importance, axis=-1)[..., None]
    sums = _Sums(offsets, weights, total, (offsets @ weights)[..., 0], middle)
    best_loss = _loss(groups, weights, best, codes)
    levels = (1 << bits) - 1
    for shrink in _SHRINKS[bits]:
        scale = xp.maximum(2 * shrink * reach / levels, _LEAST_SCALE)
        grid = Grid(as_stored(scale, dtype), as_stored(middle - shrink * reach, dtype))
        codes, _ = nearest_codes(groups, grid, bits)
        for _ in range(_REFITS):
            grid = _refit(sums, codes, grid, levels, dtype)
            codes, _ = nearest_codes(groups, grid, bits)
        loss = _loss(groups, weights, grid, codes)
        is_better = loss < best_loss
        best = Grid(
            xp.where(is_better, grid.scales, best.scales),
            xp.where(is_better, grid.biases, best.biases),
        )
        best_loss = xp.minimum(loss, best_loss)
    return best


def _refit(sums: _Sums, codes: Array, grid: Grid, levels: int, dtype: mx.Dtype) -> Grid:
    """Scale and bias with the least weighted error for fixed codes; the old if undetermined."""
    xp = library(codes)
    # Both codes and values are taken from the middle: the textbook determinant of plain sums loses
    # its digits in float32.
    centred = codes - levels / 2
    mean_code = (centred @ sums.weights)[..., 0] / sums.total
    mean_value = sums.values / sums.total
    spread = ((centred * centred) @ sums.weights)[..., 0] - mean_code * mean_code * sums.total
    slope = ((centred * sums.offsets) @ sums.weights)[..., 0] - mean_code * sums.values
    is_determined = spread > 1e-6 * sums.total
    scale = slope / xp.where(is_determined, spread, 1.0)
    is_determined = is_determined & (xp.abs(scale) > _LEAST_SCALE)
    # The bias answers to the scale as stored, so that rounding the scale costs little.
    scale = as_stored(scale, dtype)
    bias = sums.middle + mean_value - scale * (mean_code + levels / 2)
    return Grid(
        xp.where(is_determined, scale, grid.scales),
        xp.where(is_determined, as_stored(bias, dtype), grid.biases),
    )


def _loss(groups: Array, weights: Array, grid: Grid, codes: Array) -> Array:
    errors = groups - (grid.scales[..., None] * codes + grid.biases[..., None])
    return ((errors * errors) @ weights)[..., 0]
