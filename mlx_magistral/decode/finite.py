"""Logits that are not finite: met by the driver, then traced to the layer that they come from.

One such number makes all of its row so, and through the KV cache all that follows. So the driver
looks at a reply's first logits, and then once in a while.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from mlx_magistral.errors import GenerationError
from mlx_magistral.model.transformer import Transformer

# Draws from one look at the logits to the next: that is a pass over the vocabulary by itself.
CHECK_EVERY = 16

_ANY_TOKEN = 1


class NotFinite(Exception):
    """The latest logits are not finite."""


def not_finite_error(model: Transformer, cache: Sequence[Any]) -> GenerationError:
    """The error that says where it began, found with what is in the reply's cache.

    It names the tensor that holds NaN or infinity, if one does: all weights are looked at for it.
    """
    began = f"The model's numbers are not finite from {_beginning(model, cache)} on"
    parameters: Any = tree_flatten(dict(model))
    wrong = next((name for name, array in parameters if not _is_finite([array])), None)
    if wrong is not None:
        return GenerationError(
            f"{began}: {wrong} holds NaN or infinity, so the model is damaged. Convert it again, "
            "or run `mlx-magistral pull NAME --verify` for one of the hub's."
        )
    return GenerationError(
        f"{began}, and its weights are. They are too large for float16: convert it again from its "
        "source with --dtype bfloat16."
    )


def _beginning(model: Transformer, cache: Sequence[Any]) -> str:
    count = len(model.layers)
    stored = next((at for at, layer in enumerate(cache) if not _is_finite(_kept(layer))), None)
    if stored is not None:
        # Wrong keys and values come from what went into their layer, unless from its weights.
        parameters: Any = tree_flatten(dict(model.layers[stored]))
        place = stored + (not _is_finite([array for _, array in parameters]))
        return f"layer {place} of {count}" if place else "the embedding"
    outputs: list[mx.array] = []
    mx.eval(model.hidden(mx.array([[_ANY_TOKEN]]), cache, outputs.append))
    for layer in cache:
        layer.trim(1)
    for place, output in enumerate(outputs, 1):
        if not _is_finite([output]):
            return f"layer {place} of {count}"
    return "the output head"


def _kept(layer: Any) -> list[mx.array]:
    return [array[..., : layer.offset, :] for array in layer.state]


def _is_finite(arrays: Sequence[mx.array]) -> bool:
    floating = [array for array in arrays if mx.issubdtype(array.dtype, mx.floating)]
    return all(bool(mx.all(mx.isfinite(array)).item()) for array in floating)
