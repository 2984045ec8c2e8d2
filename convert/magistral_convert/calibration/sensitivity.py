"""How much each matrix's rounding at each width costs the whole model: its Fisher sensitivity.

For a weight w the loss bends by about sum over tokens of (dL/dw)², so rounding it by e costs half
of that times e². One forward and one backward pass over a few thousand tokens stream through the
layers; memory is one layer, its inputs and gradients (about 1 GB for Magistral at 2,048 tokens) and
the hidden states between layers (0.9 GB).
"""

from collections.abc import Mapping, Sequence

import mlx.core as mx
import numpy as np

from magistral_convert.progress import Watcher
from magistral_convert.recipe import Method, Recipe
from magistral_convert.rounding.dense import Array, as_mlx, library, product, settle, working
from magistral_convert.rounding.quantize import STORED_DTYPES, nearest_codes, starting_grid
from magistral_convert.sources.layer_weights import (
    TokenArray,
    embed,
    head_name,
    read_layer,
    read_rows,
    read_tensor,
)
from magistral_convert.sources.source import Source, row_blocks
from mlx_magistral.model.quant_config import QuantFormat

from .backward import layer_backward, norm_backward
from .kernels import rms_norm
from .layer import layer_forward

# Module path -> format -> cost.
Sensitivities = dict[str, dict[QuantFormat, float]]
Formats = Mapping[str, Sequence[QuantFormat]]  # by module path

SENSITIVITY_TOKENS = 2048
_EMBEDDING = "model.embed_tokens"
# What each method leaves of plain's output error on one real model of 135M: on twelve matrices of
# it calibration left 0.19 to 0.24 at any width from 3 to 8. Costs are measured on plain rounding;
# neither method helps the embedding, whose inputs are single rows.
_LEFT_OF_PLAIN = {Method.PLAIN: 1.0, Method.SEARCH: 0.45, Method.CALIBRATED: 0.2}


def measure_sensitivities(
    source: Source,
    sequences: TokenArray,
    formats: Formats,
    recipe: Recipe,
    watcher: Watcher | None = None,
) -> Sensitivities:
    """The cost of each matrix's formats, by the recipe's method, from token ids (B, L)."""
    watcher = watcher or Watcher()
    dtype = STORED_DTYPES[recipe.dtype]
    hidden = [embed(source, sequences).astype(mx.bfloat16)]
    for layer in range(source.config.n_layers):
        watcher.started(f"sensitivity: layer {layer} forward")
        after = layer_forward(read_layer(source, layer), working(hidden[-1]), source.config)
        hidden.append(as_mlx(after).astype(mx.bfloat16))
        mx.eval(hidden[-1])
    costs: Sensitivities = {}
    watcher.started("sensitivity: head")
    gradient = _head_costs(source, hidden.pop(), sequences, formats, dtype, costs)
    for layer in reversed(range(source.config.n_layers)):
        watcher.started(f"sensitivity: layer {layer} backward")
        weights = read_layer(source, layer)

        def weigh(
            name: str,
            inputs: Array,
            outputs: Array,
            weights: Mapping[str, mx.array] = weights,
            layer: int = layer,
        ) -> None:
            matrix, module = weights[f"{name}.weight"], f"model.layers.{layer}.{name}"
            costs[module] = _costs(matrix, inputs, outputs, formats[module], dtype)

        states = working(hidden.pop())
        gradient = layer_backward(weights, states, gradient, source.config, weigh)
        settle(gradient)
    left = _LEFT_OF_PLAIN[recipe.method]
    costs = {
        module: {format: left * cost for format, cost in each.items()}
        for module, each in costs.items()
    }
    # Where the head is the embedding, both uses bear on the one matrix.
    as_head = costs.get(_EMBEDDING, {})
    as_table = _embedding_costs(source, sequences, gradient, formats[_EMBEDDING], dtype)
    costs[_EMBEDDING] = {form: cost + as_head.get(form, 0.0) for form, cost in as_table.items()}
    return costs


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


def _costs(
    matrix: mx.array,
    inputs: Array,
    outputs: Array,
    formats: Sequence[QuantFormat],
    dtype: mx.Dtype,
) -> dict[QuantFormat, float]:
    fisher = product((outputs * outputs).T, inputs * inputs)  # (R, C)
    rows = working(matrix)
    return {format: _cost(rows, fisher, format, dtype) for format in formats}


def _cost(rows: Array, fisher: Array, format: QuantFormat, dtype: mx.Dtype) -> float:
    groups = rows.reshape(rows.shape[0], -1, format.group_size)
    grid = starting_grid(groups, format.bits, dtype)
    codes, _ = nearest_codes(groups, grid, format.bits)
    errors = groups - (grid.scales[..., None] * codes + grid.biases[..., None])
    return float((errors * errors * fisher.reshape(groups.shape)).sum()) / 2


def _head_costs(
    source: Source,
    hidden: mx.array,
    sequences: TokenArray,
    formats: Formats,
    dtype: mx.Dtype,
    costs: Sensitivities,
) -> Array:
    """Weigh the head, and return the gradient of the loss at the last layer's output (B, L, D).

    The logits of all tokens at once would be 1 GB, so the vocabulary goes by in blocks, twice: once
    for the sum that the probabilities share, once for the gradients.
    """
    name = head_name(source)
    states = working(hidden)
    xp = library(states)
    gain = read_tensor(source, "model.norm.weight")
    inputs = rms_norm(states, gain, source.config.norm_eps).reshape(-1, states.shape[-1])
    following = np.roll(sequences, -1, axis=1)
    is_counted = np.ones(sequences.shape, np.float32)
    is_counted[:, -1] = 0  # what follows the last token of a row is not known
    targets, counted = xp.array(following.reshape(-1)), working(is_counted.reshape(-1))[:, None]
    blocks = row_blocks(source, name)
    sums = [_log_sum(product(inputs, read_rows(source, block).T)) for block in blocks]
    total = _log_sum(xp.stack(sums, axis=1))[:, None]
    before = 0.0 * inputs
    module = name.removesuffix(".weight")
    cost = dict.fromkeys(formats[module], 0.0)
    for block in blocks:
        rows = working(read_rows(source, block))
        shares = xp.exp(product(inputs, rows.T) - total)
        is_target = targets[:, None] == xp.arange(block.start, block.stop)[None]
        outputs = (shares - is_target) * counted  # (tokens, rows of the block)
        before = before + product(outputs, rows)
        for format, value in _costs(rows, inputs, outputs, formats[module], dtype).items():
            cost[format] += value
    costs[module] = cost
    return norm_backward(states, gain, before.reshape(states.shape), source.config.norm_eps)


def _log_sum(values: Array) -> Array:
    """log of the sum of exp(x) over the last axis."""
    xp = library(values)
    largest = xp.max(values, axis=-1, keepdims=True)
    return xp.log(xp.sum(xp.exp(values - largest), axis=-1)) + largest[..., 0]
