"""How long calibrated rounding will take, from what this machine does in a second right now.

Small samples are timed, a matrix product, attention, a block of rows to round, and scaled by the
operations, tokens and weights of a layer. Plain conversions need none: their pace shows in the
first seconds.
"""

import time
from collections.abc import Callable
from math import prod

import mlx.core as mx
import numpy as np

from magistral_convert.recipe import Method, Recipe
from magistral_convert.rounding.dense import product, settle, working
from magistral_convert.rounding.descent import PASSES
from magistral_convert.rounding.feedback import factor_hessian
from magistral_convert.rounding.methods import ColumnStatistics, CurvatureBlock, store_rows
from magistral_convert.rounding.quantize import STORED_DTYPES
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes

from .column_sums import column_spans
from .importance import importance_tokens
from .kernels import causal_attention, gated
from .layer import AFTER, ATTENTION_OUTPUT, MLP_OUTPUT, STAGES, Names
from .stage_sizes import has_lacks, input_columns, is_inner_kept

_SAMPLE_ROWS, _SAMPLE_COLUMNS = 2048, 256
_PRODUCT_SIDE = 1024
_GATED_SIDE = 1024
_SAMPLES = 2
# Operations a row and square of its columns: the feedback sums up half a square, the loss of plain
# that it competes with a whole one; the descent begins with a whole one, and each of its passes
# takes two halves.
_SOLVING_OPERATIONS = 1 + 2 + 2 + 2 * PASSES
_CORRECTING_OPERATIONS = 2
# Operations a cube of the columns: a Cholesky factor in float64, which takes twice as long; what
# regression decomposes. A square and right side of it.
_FACTORING_OPERATIONS, _DECOMPOSING_OPERATIONS = 2 / 3, 2 / 3
_REGRESSING_OPERATIONS = 2
_FIRST_LAYER = "model.layers.0."


def calibration_seconds(config: ModelConfig, recipe: Recipe, tokens: int, length: int) -> float:
    """Seconds that the text's passes, in rows of ``length`` tokens, and the rounding will take."""
    weights = sum(prod(shape) for shape in expected_shapes(config).values())
    operations = layer_operations(config, recipe.method, tokens) * _seconds_an_operation()
    attention, mlp = _passes(config, recipe.method, tokens)
    attending = attention * tokens / length * _seconds_a_row(config, length)
    gating = mlp * tokens * config.hidden_dim * _seconds_a_gate()
    rounding = weights * _seconds_a_weight(recipe)
    seconds = rounding + config.n_layers * (operations + attending + gating)
    if recipe.method is Method.CALIBRATED:
        seconds += importance_operations(config, tokens) * _seconds_an_operation()
    return seconds


def layer_operations(config: ModelConfig, method: Method, tokens: int) -> float:
    """Multiplications and additions of one layer's matrix products, but for attention's own."""
    shapes = {
        name: shape
        for name, shape in expected_shapes(config).items()
        if name.startswith(_FIRST_LAYER) and len(shape) == 2
    }
    matrices = {name.split(".")[-2]: prod(shape) for name, shape in shapes.items()}
    inside = {
        kind: sum(matrices[f"{name}_proj"] for name in names)
        for kind, names in (("attention", ("q", "k", "v")), ("mlp", ("gate", "up")))
    }
    attention, mlp = _passes(config, method, tokens)
    sides = 2 if method is Method.CALIBRATED else 1
    forward = attention * inside["attention"] + mlp * inside["mlp"]
    forward += sides * (matrices["o_proj"] + matrices["down_proj"])
    forward *= 2 * tokens
    if method is not Method.CALIBRATED:
        return forward
    work: float = forward
    for stage in STAGES:
        squares = _powers(input_columns(config, stage), 2)
        rows = sum(shapes[f"{_FIRST_LAYER}{name}.weight"][0] for name in stage)
        work += _SOLVING_OPERATIONS * rows * squares
        known = _knowing_inputs if stage in AFTER else _knowing_outputs
        work += known(config, stage, rows, tokens)
    return work


def _knowing_inputs(config: ModelConfig, stage: Names, rows: int, tokens: int) -> float:
    """What is known of matrices that read hidden states: H and its factors, and what is lacked."""
    squares, cubes = _powers(config.dim, 2), _powers(config.dim, 3)
    # All tokens count once, and some of them more for each matrix.
    counted = tokens + len(stage) * min(tokens, importance_tokens(config))
    work = 2 * counted * squares + len(stage) * _FACTORING_OPERATIONS * cubes
    if has_lacks(config, tokens, stage):
        regressing = _DECOMPOSING_OPERATIONS + _REGRESSING_OPERATIONS
        work += 2 * counted * squares + len(stage) * regressing * cubes
        work += _CORRECTING_OPERATIONS * rows * squares
    return work


def _knowing_outputs(config: ModelConfig, stage: Names, rows: int, tokens: int) -> float:
    """The same of a matrix whose output is added to the hidden states; its own there included."""
    columns = input_columns(config, stage)
    squares, cubes = _powers(columns, 2), _powers(columns, 3)
    work = 2 * tokens * squares + _FACTORING_OPERATIONS * cubes
    if has_lacks(config, tokens, stage):
        # Its inputs with what the outputs lack; H times the source's matrix.
        work += 2 * tokens * columns * rows + 2 * squares * rows
        work += _DECOMPOSING_OPERATIONS * cubes + _REGRESSING_OPERATIONS * squares * rows
    return work


def importance_operations(config: ModelConfig, tokens: int) -> float:
    """Multiplications and additions of the gradients of some tokens, but for attention's own."""
    shapes = expected_shapes(config).items()
    layer = sum(prod(s) for name, s in shapes if name.startswith(_FIRST_LAYER) and len(s) == 2)
    # There, then there again but for what ends a layer, and back; the head twice there, and back.
    passes = 3 * layer - config.dim * config.hidden_dim
    through = config.n_layers * passes + 3 * config.vocab_size * config.dim
    return 2 * min(tokens, importance_tokens(config)) * through


def _passes(config: ModelConfig, method: Method, tokens: int) -> tuple[int, int]:
    """How often a token goes through attention and through the inside of the MLP, in a layer.

    Once a side; what reaches an output of the result and is not kept is computed again.
    """
    if method is not Method.CALIBRATED:
        return 1, 1
    attention, mlp = (
        2 if is_inner_kept(config, tokens, each) else 3 for each in (ATTENTION_OUTPUT, MLP_OUTPUT)
    )
    return attention, mlp


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
    statistics = ColumnStatistics(working(np.ones(_SAMPLE_COLUMNS, np.float32)), blocks)
    dtype = STORED_DTYPES[recipe.dtype]
    return _best_seconds(lambda: store_rows(rows, recipe.default_format, dtype, statistics)) / (
        _SAMPLE_ROWS * _SAMPLE_COLUMNS
    )


def _seconds_a_row(config: ModelConfig, length: int) -> float:
    """Of attention over one row of tokens, timed with the queries of one KV head."""
    group = config.n_heads // config.n_kv_heads
    queries, keys = (
        working(np.ones((1, heads, length, config.head_dim), np.float32)) for heads in (group, 1)
    )
    return config.n_kv_heads * _best_seconds(lambda: settle(causal_attention(queries, keys, keys)))


def _seconds_a_gate() -> float:
    """Of one element of what goes through the MLP."""
    square = working(np.ones((_GATED_SIDE, _GATED_SIDE), np.float32))
    return _best_seconds(lambda: settle(gated(square, square))) / _GATED_SIDE**2


def _seconds_an_operation() -> float:
    square = working(np.ones((_PRODUCT_SIDE, _PRODUCT_SIDE), np.float32))
    return _best_seconds(lambda: product(square, square)) / (2 * _PRODUCT_SIDE**3)


def _best_seconds(work: Callable[[], object]) -> float:
    """The shorter of two runs: the first may load libraries or compile kernels."""
    seconds = []
    for _ in range(_SAMPLES):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
