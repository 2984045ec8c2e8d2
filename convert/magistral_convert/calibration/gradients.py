"""The gradient of the loss at what every matrix brings, from one pass there and one back.

Text streams through the source: one layer's weights at a time, the hidden states of all layers in
bfloat16, so 0.84 GB for each 2,048 tokens of Magistral.
"""

from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from magistral_convert.progress import Watcher
from magistral_convert.recipe import module_path
from magistral_convert.rounding.dense import Array, as_mlx, library, product, settle, working
from magistral_convert.sources.layer_weights import (
    TokenArray,
    embed,
    head_name,
    read_layer,
    read_rows,
    read_tensor,
)
from magistral_convert.sources.source import Source, row_blocks

from .backward import layer_backward, norm_backward
from .kernels import rms_norm
from .layer import layer_forward


@dataclass(frozen=True)
class Gradient:
    """What one batch of tokens means to a matrix, or to some rows of the head."""

    module: str
    rows: Array  # (R, C), of either library
    inputs: Array  # (tokens, C)
    outputs: Array  # (tokens, R), the gradient at what the rows make of them
    batch: int


def stream_gradients(
    source: Source,
    batches: list[TokenArray],
    on_gradient: Callable[[Gradient], None],
    watcher: Watcher,
    purpose: str,
) -> list[Array]:
    """Show every matrix but the embedding, from the head down; batches are token ids (B, L).

    Returns the gradient at the embedded tokens, (B, L, D) a batch. The loss is the sum over tokens
    of the negative log likelihood of the next one. ``purpose`` names the pass to the watcher.
    """
    hidden = [[embed(source, tokens).astype(mx.bfloat16)] for tokens in batches]
    layers = source.config.n_layers
    for layer in range(layers):
        watcher.started(f"{purpose}: layer {layer + 1} of {layers} forward")
        weights = read_layer(source, layer)
        for states in hidden:
            after = layer_forward(weights, working(states[-1]), source.config)
            states.append(as_mlx(after).astype(mx.bfloat16))
            mx.eval(states[-1])
    watcher.started(f"{purpose}: head")
    gradients = [
        _head_gradient(source, states.pop(), tokens, number, on_gradient)
        for number, (states, tokens) in enumerate(zip(hidden, batches, strict=True))
    ]
    for layer in reversed(range(layers)):
        watcher.started(f"{purpose}: layer {layer + 1} of {layers} backward")
        weights = read_layer(source, layer)
        for number, states in enumerate(hidden):

            def show(
                name: str,
                inputs: Array,
                outputs: Array,
                prefix: str = f"model.layers.{layer}",
                number: int = number,
                matrices: dict[str, mx.array] = dict(weights),  # noqa: B006 - bound, not changed
            ) -> None:
                rows = matrices[f"{name}.weight"]
                on_gradient(Gradient(f"{prefix}.{name}", rows, inputs, outputs, number))

            gradients[number] = layer_backward(
                weights, working(states.pop()), gradients[number], source.config, show
            )
            settle(gradients[number])
    return gradients


def _head_gradient(
    source: Source,
    hidden: mx.array,
    tokens: TokenArray,
    batch: int,
    on_gradient: Callable[[Gradient], None],
) -> Array:
    """Show the head in blocks; the gradient of the loss at the last layer's output (B, L, D).

    The batch's logits are kept, 0.5 GB for Magistral, until the sum that the probabilities share
    is known; what the gradients at them are goes by a block of the vocabulary at a time.
    """
    name = head_name(source)
    states = working(hidden)
    xp = library(states)
    gain = read_tensor(source, "model.norm.weight")
    inputs = rms_norm(states, gain, source.config.norm_eps).reshape(-1, states.shape[-1])
    following = np.roll(tokens, -1, axis=1)
    is_counted = np.ones(tokens.shape, np.float32)
    is_counted[:, -1] = 0  # what follows the last token of a row is not known
    targets, counted = xp.array(following.reshape(-1)), working(is_counted.reshape(-1))[:, None]
    blocks = row_blocks(source, name)
    logits = [product(inputs, read_rows(source, block).T) for block in blocks]
    total = _log_sum(xp.stack([_log_sum(each) for each in logits], axis=1))[:, None]
    before = 0.0 * inputs
    for block in blocks:
        rows = working(read_rows(source, block))
        shares = xp.exp(logits.pop(0) - total)
        is_target = targets[:, None] == xp.arange(block.start, block.stop)[None]
        outputs = (shares - is_target) * counted  # (tokens, rows of the block)
        before = before + product(outputs, rows)
        on_gradient(Gradient(module_path(name), rows, inputs, outputs, batch))
    return norm_backward(states, gain, before.reshape(states.shape), source.config.norm_eps)


def _log_sum(values: Array) -> Array:
    """log of the sum of exp(x) over the last axis."""
    xp = library(values)
    largest = xp.max(values, axis=-1, keepdims=True)
    return xp.log(xp.sum(xp.exp(values - largest), axis=-1)) + largest[..., 0]
