"""How long calibrated rounding will take, from what this machine does in a second right now.

Two small samples are timed, a matrix product and a block of rows, and scaled by the operations and
weights of a layer. Plain conversions need none: their pace shows in the first seconds.
"""

import time
from collections.abc import Callable
from math import prod

import mlx.core as mx
import numpy as np

from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes

from .calibration import column_spans
from .dense import product
from .descent import PASSES
from .feedback import factor_hessian
from .methods import ColumnStatistics, CurvatureBlock, store_rows
from .quantize import STORED_DTYPES
from .recipe import Method, Recipe

_SAMPLE_ROWS, _SAMPLE_COLUMNS = 2048, 256
_PRODUCT_SIDE = 1024
_SAMPLES = 2
# Operations a row and square of its columns: the feedback sums up half a square, the losses of the
# two candidates that it competes with a whole one each; the descent begins with a whole one, and
# each of its passes takes two halves.
_SOLVING_OPERATIONS = 1 + 2 * 2 + 2 + 2 * PASSES
_FIRST_LAYER = "model.layers.0."


def calibration_seconds(config: ModelConfig, recipe: Recipe, tokens: int) -> float:
    """Seconds that every layer's text pass and rounding will take, embedding and head included."""
    weights = sum(prod(shape) for shape in expected_shapes(config).values())
    operations = config.n_layers * layer_operations(config, recipe.method, tokens)
    return weights * _seconds_a_weight(recipe) + operations * _seconds_an_operation()


def layer_operations(config: ModelConfig, method: Method, tokens: int) -> float:
    """Multiplications and additions of one layer's matrix products."""
    shapes = {
        name: shape
        for name, shape in expected_shapes(config).items()
        if name.startswith(_FIRST_LAYER) and len(shape) == 2
    }
    forward = 2 * tokens * sum(map(prod, shapes.values()))
    if method is not Method.CALIBRATED:
        return forward
    # q, k and v share their inputs, gate and up as well: one H each.
    inputs = (config.dim, config.n_heads * config.head_dim, config.dim, config.hidden_dim)
    gathering = 2 * tokens * sum(map(_squares, inputs))
    solving = _SOLVING_OPERATIONS * sum(rows * _squares(width) for rows, width in shapes.values())
    return forward + gathering + solving


def _squares(width: int) -> int:
    return sum((end - begin) ** 2 for begin, end in column_spans(width))


def _seconds_a_weight(recipe: Recipe) -> float:
    """Of rounding some random rows; their columns are few, so products hardly count."""
    generator = np.random.default_rng(0)
    rows = mx.array(generator.standard_normal((_SAMPLE_ROWS, _SAMPLE_COLUMNS), np.float32))
    blocks: tuple[CurvatureBlock, ...] = ()
    if recipe.method is Method.CALIBRATED:
        hessian = np.eye(_SAMPLE_COLUMNS, dtype=np.float32)
        blocks = (CurvatureBlock(0, factor_hessian(hessian, recipe.group_size, _SAMPLE_ROWS)),)
    statistics = ColumnStatistics(mx.ones((_SAMPLE_COLUMNS,)), blocks)
    dtype = STORED_DTYPES[recipe.dtype]
    return _best_seconds(lambda: store_rows(rows, recipe.default_format, dtype, statistics)) / (
        _SAMPLE_ROWS * _SAMPLE_COLUMNS
    )


def _seconds_an_operation() -> float:
    square = mx.ones((_PRODUCT_SIDE, _PRODUCT_SIDE))
    return _best_seconds(lambda: mx.eval(product(square, square))) / (2 * _PRODUCT_SIDE**3)


def _best_seconds(work: Callable[[], object]) -> float:
    """The shorter of two runs: the first may load libraries or compile kernels."""
    seconds = []
    for _ in range(_SAMPLES):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
