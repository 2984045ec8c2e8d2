"""Loss and gradients of a pack, in one graph or layer by layer; the two give the same.

In one graph MLX keeps every layer's activations until its gradient is computed: fastest, where they
fit. Layer by layer keeps each layer's input alone (gradient checkpointing): forward without
gradients, the head in chunks, then each layer once more with its gradient, from the last to the
first, each done before the next begins.
"""

# mypy: allow-untyped-calls, no-warn-return-any

from typing import Any, NamedTuple

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from mlx_magistral.model.transformer import Layer, Transformer
from mlx_magistral.train.head import chunk_rows, graph_loss, head_loss, row_losses
from mlx_magistral.train.packing import Pack
from mlx_magistral.train.segments import SegmentCache

Gradients = dict[str, mx.array]


class PackLoss(NamedTuple):
    """The summed loss of a pack's targets, and gradients by parameter name where asked for."""

    loss: mx.array
    gradients: Gradients


def whole_graph(model: Transformer, pack: Pack, *, rows_at_once: int | None = None) -> PackLoss:
    """Loss and gradients of all trainable parameters at once; the latter not evaluated.

    Where the logits are more than a chunk, the head is done in chunks, one after the other.
    """
    inputs, cache, rows, targets = _arrays(pack)
    at_once = rows_at_once or _chunk_rows(model)

    def loss_of(parameters: Gradients) -> mx.array:
        model.update(tree_unflatten(list(parameters.items())))
        hidden = model.hidden(inputs, [cache] * len(model.layers))[:, 0][rows]
        if len(pack.targets) <= at_once:
            return row_losses(model.logits, hidden, targets).sum()
        return graph_loss(model.logits, hidden, targets, at_once)

    parameters = trainable(model)
    loss, gradients = mx.value_and_grad(loss_of)(parameters)
    model.update(tree_unflatten(list(parameters.items())))
    return PackLoss(loss, gradients)


def layer_by_layer(model: Transformer, pack: Pack, *, rows_at_once: int | None = None) -> PackLoss:
    """The same with one layer's activations at a time; evaluated."""
    inputs, cache, rows, targets = _arrays(pack)
    first = _first_trained(model)
    xs = [model.model.embed_tokens(inputs)]
    for layer in model.layers:
        xs.append(layer(xs[-1], None, cache))
    mx.eval(xs)

    def normalized(x: mx.array) -> mx.array:
        return model.model.norm(x)[:, 0][rows]

    last = xs.pop()
    at_once = rows_at_once or _chunk_rows(model)
    loss, slope = head_loss(model.logits, normalized(last), targets, at_once)
    _, (slope,) = mx.vjp(normalized, [last], [slope])
    del last
    gradients: Gradients = {}
    for index in range(len(model.layers) - 1, first - 1, -1):
        layer = model.layers[index]
        own, slope = _layer_gradients(layer, xs.pop(), cache, slope, is_first=index == first)
        mx.eval(own, slope)
        gradients |= {f"model.layers.{index}.{name}": each for name, each in own.items()}
    return PackLoss(loss, gradients)


def losses_of(model: Transformer, pack: Pack) -> list[mx.array]:
    """The loss of each target of a pack, by example, without gradients and in chunks."""
    inputs, cache, rows, targets = _arrays(pack)
    hidden = model.hidden(inputs, [cache] * len(model.layers))[:, 0][rows]
    parts, at_once = [], _chunk_rows(model)
    for start in range(0, hidden.shape[0], at_once):
        end = start + at_once
        parts.append(row_losses(model.logits, hidden[start:end], targets[start:end]))
        mx.eval(parts[-1])
    losses = mx.concatenate(parts)
    found, start = [], 0
    for example in pack.examples:
        count = sum(end - max(begin, 1) for begin, end in example.spans)
        found.append(losses[start : start + count])
        start += count
    return found


def trainable(model: Transformer) -> Gradients:
    """Name -> parameter of all that is trained."""
    flat: Any = tree_flatten(model.trainable_parameters())
    return dict(flat)


def _layer_gradients(
    layer: Layer, x: mx.array, cache: SegmentCache, slope: mx.array, *, is_first: bool
) -> tuple[Gradients, mx.array]:
    """Gradients of a layer's own parameters, and of its input unless nothing below is trained."""
    flat: Any = tree_flatten(layer.trainable_parameters())
    names, values = [name for name, _ in flat], [value for _, value in flat]

    def run(*arrays: mx.array) -> mx.array:
        layer.update(tree_unflatten(list(zip(names, arrays, strict=False))))
        return layer(x if is_first else arrays[-1], None, cache)

    primals = values if is_first else [*values, x]
    _, slopes = mx.vjp(run, primals, [slope])
    layer.update(tree_unflatten(list(zip(names, values, strict=True))))
    below = slope if is_first else slopes[-1]
    return dict(zip(names, slopes, strict=False)), below


def _first_trained(model: Transformer) -> int:
    trained = [bool(tree_flatten(layer.trainable_parameters())) for layer in model.layers]
    return trained.index(True)


def _chunk_rows(model: Transformer) -> int:
    return chunk_rows(model.model.embed_tokens.weight.shape[0])


def _arrays(pack: Pack) -> tuple[mx.array, SegmentCache, mx.array, mx.array]:
    """Ids (rows, 1), the cache of the pass, learned rows and what they predict."""
    inputs = mx.array(pack.inputs)[:, None]
    return (
        inputs,
        SegmentCache(pack.lengths, pack.shared),
        mx.array(pack.rows),
        mx.array(pack.targets),
    )
