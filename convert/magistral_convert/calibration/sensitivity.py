"""How much each matrix's rounding at each width costs the whole model: its Fisher sensitivity.

For a weight w the loss bends by about sum over tokens of (dL/dw)², so rounding it by e costs half
of that times e². One forward and one backward pass over a few thousand tokens stream through the
layers; memory is one layer, its inputs and gradients (about 1 GB for Magistral at 2,048 tokens) and
the hidden states between layers (0.9 GB).
"""

from collections.abc import Mapping, Sequence

import mlx.core as mx

from magistral_convert.progress import Watcher
from magistral_convert.recipe import Method, Recipe
from magistral_convert.rounding.dense import Array, product, working
from magistral_convert.rounding.quantize import STORED_DTYPES, nearest_codes, starting_grid
from magistral_convert.sources.layer_weights import TokenArray, embed
from magistral_convert.sources.source import Source
from mlx_magistral.model.quant_config import QuantFormat

from .gradients import Gradient, stream_gradients

# Module path -> format -> cost.
Sensitivities = dict[str, dict[QuantFormat, float]]
Formats = Mapping[str, Sequence[QuantFormat]]  # by module path

SENSITIVITY_TOKENS = 2048
_EMBEDDING = "model.embed_tokens"
# What each method leaves of plain's output error on one real model of 135M, at any width from 3 to
# 8. Costs are measured on plain rounding. The search is no help to the embedding, whose inputs are
# single rows.
_LEFT_BY_SEARCH = 0.45
_LEFT_BY_CALIBRATION = {
    "q_proj": 0.13,
    "k_proj": 0.13,
    "v_proj": 0.13,
    "o_proj": 0.22,
    "gate_proj": 0.30,
    "up_proj": 0.30,
    "down_proj": 0.32,
    "lm_head": 0.14,
    "embed_tokens": 0.45,
}


def measure_sensitivities(
    source: Source,
    sequences: TokenArray,
    formats: Formats,
    recipe: Recipe,
    watcher: Watcher | None = None,
) -> Sensitivities:
    """The cost of each matrix's formats, by the recipe's method, from token ids (B, L)."""
    dtype = STORED_DTYPES[recipe.dtype]
    costs: Sensitivities = {}

    def weigh(gradient: Gradient) -> None:
        outputs, inputs = gradient.outputs, gradient.inputs
        fisher = product((outputs * outputs).T, inputs * inputs)  # (R, C)
        sums = costs.setdefault(gradient.module, dict.fromkeys(formats[gradient.module], 0.0))
        rows = working(gradient.rows)
        for format in sums:
            sums[format] += _cost(rows, fisher, format, dtype)

    (gradient,) = stream_gradients(source, [sequences], weigh, watcher or Watcher(), "sensitivity")
    # Where the head is the embedding, both uses bear on the one matrix.
    as_head = costs.get(_EMBEDDING, {})
    as_table = _embedding_costs(source, sequences, gradient, formats[_EMBEDDING], dtype)
    costs[_EMBEDDING] = {form: cost + as_head.get(form, 0.0) for form, cost in as_table.items()}
    return {
        module: {form: _left(recipe.method, module) * cost for form, cost in each.items()}
        for module, each in costs.items()
    }


def _left(method: Method, module: str) -> float:
    """The share of plain's cost that the method leaves of a matrix's."""
    kind = module.rpartition(".")[2]
    if method is Method.CALIBRATED:
        return _LEFT_BY_CALIBRATION[kind]
    return _LEFT_BY_SEARCH if method is Method.SEARCH and module != _EMBEDDING else 1.0


def _embedding_costs(
    source: Source,
    sequences: TokenArray,
    gradient: Array,
    formats: Sequence[QuantFormat],
    dtype: mx.Dtype,
) -> dict[QuantFormat, float]:
    """Each token reads one row, so the gradient at the first layer's input is that row's."""
    rows = working(embed(source, sequences))
    rows = rows.reshape(-1, rows.shape[-1])  # (tokens, D)
    fisher = (gradient * gradient).reshape(rows.shape)
    return {format: _cost(rows, fisher, format, dtype) for format in formats}


def _cost(rows: Array, fisher: Array, format: QuantFormat, dtype: mx.Dtype) -> float:
    groups = rows.reshape(rows.shape[0], -1, format.group_size)
    grid = starting_grid(groups, format.bits, dtype)
    codes, _ = nearest_codes(groups, grid, format.bits)
    errors = groups - (grid.scales[..., None] * codes + grid.biases[..., None])
    return float((errors * errors * fisher.reshape(groups.shape)).sum()) / 2
