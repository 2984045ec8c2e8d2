"""How long calibrated rounding will take, from what this machine does in a second right now.

Two small samples are timed, a matrix product and a block of rows, and scaled by the operations and
weights of a layer. Plain conversions need none: their pace shows in the first seconds.
"""

import time
from collections.abc import Callable
from math import prod

import mlx.core as mx
import numpy as np

from magistral_convert.recipe import Method, Recipe
from magistral_convert.rounding.dense import product
from magistral_convert.rounding.descent import PASSES
from magistral_convert.rounding.feedback import factor_hessian
from magistral_convert.rounding.methods import ColumnStatistics, CurvatureBlock, store_rows
from magistral_convert.rounding.quantize import STORED_DTYPES
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes

from .column_sums import column_spans

_SAMPLE_ROWS, _SAMPLE_COLUMNS = 2048, 256
_PRODUCT_SIDE = 1024
_SAMPLES = 2
# Operations a row and square of its columns: the feedback sums up half a square, the losses of the
# two candidates that it competes with a whole one each; the descent begins with a whole one, and
# each of its passes takes two halves.
_SOLVING_OPERATIONS = 1 + 2 * 2 + 2 + 2 * PASSES
_CORRECTING_OPERATIONS = 2
# Operations a cube of the columns: a Cholesky factor; its inverse, and twice a product with that.
_FACTORING_OPERATIONS = 1 / 3
_INVERTING_OPERATIONS = 1 / 3 + 2 * 2
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
    matrices = {name.split(".")[-2]: prod(shape) for name, shape in shapes.items()}
    if method is not Method.CALIBRATED:
        return 2 * tokens * sum(matrices.values())
    # On both sides what leads to an output once to see what reaches it, which of down_proj is asked
    # on one side alone, and once to go on.
    both = sum(matrices.values())
    seen = both - matrices["o_proj"] - matrices["down_proj"]
    forward = 2 * tokens * (2 * both + 2 * seen - matrices["gate_proj"] - matrices["up_proj"])
    squares = sum(rows * _powers(width, 2) for rows, width in shapes.values())
    # q, k and v share their inputs, gate and up as well.
    inputs = [config.dim, config.n_heads * config.head_dim, config.dim, config.hidden_dim]
    work: float = forward + _SOLVING_OPERATIONS * squares
    work += sum(2 * tokens * _powers(n, 2) + _FACTORING_OPERATIONS * _powers(n, 3) for n in inputs)
    # All but down_proj make good the drift of their inputs.
    for width in inputs[:-1]:
        work += 2 * tokens * _powers(width, 2) + _INVERTING_OPERATIONS * _powers(width, 3)
    corrected = squares - config.dim * _powers(config.hidden_dim, 2)
    return work + _CORRECTING_OPERATIONS * corrected


def _powers(width: int, exponent: int) -> int:
    return sum((end - begin) ** exponent for begin, end in column_spans(width))


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
