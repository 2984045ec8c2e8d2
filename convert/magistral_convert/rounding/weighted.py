"""The grid that fits the weights that matter: shrink, refit by least squares, keep the best.

For one set of groups x with importances w: from MLX's own grid, then from the group's range clipped
to a share of itself, scale and bias are refitted twice on the codes they give. The candidate with
the least sum of w * (x - stored)² wins, scored after rounding to the stored dtype.
"""

import mlx.core as mx

from .quantize import Grid, nearest_codes, starting_grid

# Few levels profit from clipping the outliers; with 255 there is nothing to gain.
_COARSE = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
_FINE = (1.0, 0.97, 0.94, 0.9)
_SHRINKS: dict[int, tuple[float, ...]] = {3: _COARSE, 4: _COARSE, 5: _FINE, 6: _FINE, 8: (1.0,)}
_REFITS = 2
_LEAST_SCALE = 1e-7


def weighted_grid(groups: mx.array, importance: mx.array, bits: int, dtype: mx.Dtype) -> Grid:
    """The best grid found for float32 groups (R, G, g) with importance (G, g) or (R, G, g) > 0."""
    best = starting_grid(groups, bits, dtype)
    codes, _ = nearest_codes(groups, best, bits)
    best_loss = _loss(groups, importance, best, codes)
    low = mx.min(groups, axis=-1)
    high = mx.max(groups, axis=-1)
    middle, reach = (high + low) / 2, (high - low) / 2
    levels = (1 << bits) - 1
    for shrink in _SHRINKS[bits]:
        scale = mx.maximum(2 * shrink * reach / levels, _LEAST_SCALE)
        grid = Grid(scale.astype(dtype), (middle - shrink * reach).astype(dtype))
        codes, _ = nearest_codes(groups, grid, bits)
        for _ in range(_REFITS):
            grid = _refit(groups, importance, codes, grid, dtype)
            codes, _ = nearest_codes(groups, grid, bits)
        loss = _loss(groups, importance, grid, codes)
        is_better = loss < best_loss
        best = Grid(
            mx.where(is_better, grid.scales, best.scales),
            mx.where(is_better, grid.biases, best.biases),
        )
        best_loss = mx.minimum(loss, best_loss)
    return best


def _refit(
    groups: mx.array, importance: mx.array, codes: mx.array, grid: Grid, dtype: mx.Dtype
) -> Grid:
    """Scale and bias with the least weighted error for fixed codes; the old if undetermined."""
    total = mx.sum(importance, axis=-1)
    weighted_codes = importance * codes
    mean_code = mx.sum(weighted_codes, axis=-1) / total
    mean_value = mx.sum(importance * groups, axis=-1) / total
    # Centred sums: the textbook determinant loses all its digits in float32.
    offset = codes - mean_code[..., None]
    weighted_offset = importance * offset
    spread = mx.sum(weighted_offset * offset, axis=-1)
    slope = mx.sum(weighted_offset * groups, axis=-1)
    is_determined = spread > 1e-6 * total
    scale = mx.where(is_determined, slope / spread, 0.0)
    is_determined = is_determined & (mx.abs(scale) > _LEAST_SCALE)
    # The bias answers to the scale as stored, so that rounding the scale costs little.
    stored_scale = scale.astype(dtype)
    bias = mean_value - stored_scale.astype(mx.float32) * mean_code
    return Grid(
        mx.where(is_determined, stored_scale, grid.scales),
        mx.where(is_determined, bias.astype(dtype), grid.biases),
    )


def _loss(groups: mx.array, importance: mx.array, grid: Grid, codes: mx.array) -> mx.array:
    scale = grid.scales.astype(mx.float32)[..., None]
    bias = grid.biases.astype(mx.float32)[..., None]
    return mx.sum(importance * mx.square(groups - (scale * codes + bias)), axis=-1)
