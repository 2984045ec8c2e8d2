"""A pass over many ids that can be given up on its way: between two layers, not two passes.

On a Mac a pass of 2,048 ids takes a large model many seconds, and where passes end is decided by
the prompt (passes.py), not by how soon somebody may lose patience.
"""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from mlx_magistral.model.eagle.taps import AuxTap
from mlx_magistral.model.transformer import Transformer

# Passes of so few rows are over soon, and waiting for each layer would take a part of their time.
WHOLE_ROWS = 64


class _GivenUp(Exception):
    """The pass is not wanted any longer."""


def hidden_unless(
    is_cancelled: Callable[[], bool],
    model: Transformer,
    tokens: mx.array,
    cache: Sequence[Any],
    kept: Sequence[Sequence[Any]] | None = None,
    tap: AuxTap | None = None,
) -> mx.array | None:
    """``model.hidden``, waiting for each layer in turn; None once ``is_cancelled`` says so.

    A pass of up to WHOLE_ROWS rows is asked about once, before it begins, and not waited for.
    One layer waits in the queue while another is computed, so that the device is never idle. A pass
    that is given up leaves nothing in the caches, which are ``cache`` itself, or for a pass of
    several sequences those of each, ``kept``. ``tap`` listens, and forgets a pass that is given up.
    """
    caches = [cache] if kept is None else kept
    before = [layers[0].offset if layers else 0 for layers in caches]
    computing: list[mx.array] = []

    def after_layer(x: mx.array) -> None:
        if tap is not None:
            tap(x)
        mx.async_eval(x)  # type: ignore[no-untyped-call]
        computing.append(x)
        if len(computing) > 1:
            mx.eval(computing.pop(0))
        if is_cancelled():
            raise _GivenUp

    if is_cancelled():
        return None
    if tokens.size <= WHOLE_ROWS:
        return model.hidden(tokens, cache, tap)
    try:
        return model.hidden(tokens, cache, after_layer)
    except _GivenUp:
        mx.eval(computing)
        if tap is not None:
            tap.drop()
        for layers, offset in zip(caches, before, strict=True):
            for layer in layers:
                layer.trim(layer.offset - offset)
        return None
