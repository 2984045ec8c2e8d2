"""place_adapter: an adapter's layers around a model's own, checked against it in one go."""

# mypy: allow-untyped-calls

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_flatten

from mlx_magistral.errors import AdapterError
from mlx_magistral.model.adapters.adapter import Adapter, ModuleAdapter
from mlx_magistral.model.adapters.layers import (
    BaseLinear,
    DoRALinear,
    LoRALinear,
    is_linear,
    linear_shape,
)
from mlx_magistral.model.transformer import Transformer

# Names listed of what does not fit.
_NAMES_SHOWN = 4


def place_adapter(model: Transformer, adapter: Adapter, *, base_sha256: str | None = None) -> None:
    """Make ``model`` answer with the adapter; its own weights stay as they are.

    ``base_sha256`` is what identity.py says of the model. Raises AdapterError naming what does not
    fit and the bases.
    """
    linears: dict[str, Any] = dict(model.named_modules())
    own: Any = tree_flatten(model.parameters())
    require_fit(
        adapter,
        {path: linear_shape(each) for path, each in linears.items() if is_linear(each)},
        {name: array.shape for name, array in own if array.dtype != mx.uint32},
        base_sha256,
    )
    for path, change in adapter.modules.items():
        wrap(model, path, change).settle()
    dtype = model.model.norm.weight.dtype
    model.load_weights(
        [(name, array.astype(dtype)) for name, array in adapter.weights.items()], strict=False
    )
    model.eval()


def require_fit(
    adapter: Adapter,
    linears: Mapping[str, tuple[int, int]],
    weights: Mapping[str, tuple[int, ...]],
    base_sha256: str | None,
) -> None:
    """Raise AdapterError where the adapter is another model's, with all that does not fit.

    ``linears`` has the (out, in) of each linear by path, ``weights`` the shape of each float
    weight by name.
    """
    codes = [name for name in adapter.weights if _is_quantized(name, linears, weights)]
    if codes:
        raise AdapterError(
            f"The adapter {adapter.folder} holds whole weights, and {codes[0]} is quantized here. "
            "Use the float model it was trained on, or fuse it into that and convert the result."
        )
    problems = [f"{path} is no linear layer" for path in adapter.modules if path not in linears]
    for path, change in adapter.modules.items():
        if path in linears and not _fits(change, *linears[path]):
            out, width = linears[path]
            problems.append(
                f"{path} is {out} x {width} here and {change.b.shape[1]} x {change.a.shape[0]} "
                "in the adapter"
            )
    for name, array in adapter.weights.items():
        if name not in weights:
            problems.append(f"{name} is no float weight")
        elif tuple(weights[name]) != array.shape:
            problems.append(f"{name} is {list(weights[name])} here and {list(array.shape)} in it")
    named = adapter.base_sha256
    if not problems and named is not None and base_sha256 not in (None, named):
        problems.append("the gains of the norms are others")
    if problems:
        raise AdapterError(_message(adapter, base_sha256, problems))


def wrap(model: Transformer, path: str, change: ModuleAdapter) -> LoRALinear:
    """Put an adapted layer in the place of the linear at ``path``; returns it."""
    linear: BaseLinear = _module(model, path)
    if change.m is None:
        layer = LoRALinear(linear, change.a, change.b, change.scale)
    else:
        layer = DoRALinear(linear, change.a, change.b, change.scale, change.m)
    put(model, path, layer)
    return layer


def put(model: Transformer, path: str, module: Module) -> None:
    """Let ``module`` be what the model has at ``path``."""
    above, _, leaf = path.rpartition(".")
    setattr(_module(model, above), leaf, module)


def adapted_modules(model: Transformer) -> dict[str, LoRALinear]:
    """The adapted layers of a model by path, in its order."""
    found = [(path, each) for path, each in model.named_modules() if isinstance(each, LoRALinear)]
    return dict(sorted(found, key=lambda item: _order(item[0])))


def _module(model: Transformer, path: str) -> Any:
    node: Any = model
    for part in path.split(".") if path else ():
        node = node[int(part)] if isinstance(node, list) else getattr(node, part)
    return node


def _order(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.split(".")]


def _fits(change: ModuleAdapter, out: int, width: int) -> bool:
    a, b, m = change.a.shape, change.b.shape, change.m
    return (
        a == (width, b[0]) and b[1:] == (out,) and (m is None or m.shape == (out,)) and len(b) == 2
    )


def _is_quantized(
    name: str, linears: Mapping[str, tuple[int, int]], weights: Mapping[str, tuple[int, ...]]
) -> bool:
    return (
        name.endswith(".weight")
        and name.removesuffix(".weight") in linears
        and (name not in weights)
    )


def _message(adapter: Adapter, base_sha256: str | None, problems: list[str]) -> str:
    more = len(problems) - _NAMES_SHOWN
    listed = "; ".join(problems[:_NAMES_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    trained = adapter.base_sha256[:12] if adapter.base_sha256 else "not named"
    base = f"{adapter.base_name or 'a base'} ({trained})"
    here = "" if base_sha256 is None else f", and this one is {base_sha256[:12]}"
    return (
        f"The adapter {adapter.folder} belongs to another model: {listed}. It was trained on "
        f"{base}{here}. Use the model it was trained on, at any bits."
    )
