"""Models that share the weights of one and answer with adapters of their own."""

# mypy: allow-untyped-calls

import copy
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module

from mlx_magistral.model.adapters.adapter import Adapter
from mlx_magistral.model.adapters.placing import place_adapter
from mlx_magistral.model.transformer import Transformer


def adapted_copy(model: Transformer, adapter: Adapter, base_sha256: str) -> Transformer:
    """The same weights, each once in memory, with the adapter around them.

    Raises AdapterError where it belongs to another model.
    """
    copied: Transformer = _shared(model)
    place_adapter(copied, adapter, base_sha256=base_sha256)
    mx.eval(copied.parameters())
    return copied


def _shared(module: Any) -> Any:
    """A tree of modules of its own over the same arrays."""
    if isinstance(module, list):
        return [_shared(each) for each in module]
    if not isinstance(module, Module):
        return module
    copied = copy.copy(module)
    for name, child in module.items():
        copied[name] = _shared(child)
    return copied
