"""What is trained of a model: layers around its linears, or its own weights."""

# mypy: allow-untyped-calls

import math
from typing import Any

import mlx.core as mx
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.quantized import QuantizedLinear
from mlx.utils import tree_flatten

from mlx_magistral.errors import TrainingError
from mlx_magistral.model.adapters.adapter import ModuleAdapter
from mlx_magistral.model.adapters.layers import (
    float_rows,
    is_linear,
    linear_shape,
    row_squares,
)
from mlx_magistral.model.adapters.placing import put, wrap
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.train.options import Method, TrainOptions


def prepare(model: Transformer, options: TrainOptions) -> None:
    """Freeze the model and make its last ``num_layers`` layers trainable.

    Of an adapter a is drawn from the seed and b is zero, so that training begins at the model as it
    is. What is trained is fp32, whatever the weights are: bf16 would lose small steps.
    Raises UsageError or TrainingError.
    """
    count = len(model.layers)
    chosen = options.layers_of(count)
    if options.method is Method.FULL:
        _widen(model)
    _unpack_on_cpu(model)
    model.freeze()
    key = mx.random.key(options.seed)
    for index in range(count - chosen, count):
        layer = model.layers[index]
        if options.method is Method.FULL:
            layer.unfreeze()
            continue
        for path in [path for path, module in layer.named_modules() if is_linear(module)]:
            key, own = mx.random.split(key)
            _adapt(model, f"model.layers.{index}.{path}", options, own)
    model.train()


def require_trainable(method: Method, is_quantized: bool) -> None:
    """Raise TrainingError where codes of quantized weights would be trained themselves."""
    if method is Method.FULL and is_quantized:
        raise TrainingError(
            "--full trains the weights themselves, and these are quantized. Train an adapter, or "
            "name the folder they were converted from."
        )


def _unpack_on_cpu(model: Transformer) -> None:
    """Quantized weights as floats with the same values, where there is no GPU.

    MLX's product with packed weights takes a CPU 2.3 times as long, forward, and nobody trains a
    model there that would not fit.
    """
    if mx.default_device() != mx.cpu:
        return
    for path, module in list(model.named_modules()):
        if isinstance(module, QuantizedLinear):
            weight = float_rows(module, 0, module.weight.shape[0])
            linear = Linear(1, 1, bias=False)
            linear.weight = weight
            mx.eval(weight)
            put(model, path, linear)


def _adapt(model: Transformer, path: str, options: TrainOptions, key: mx.array) -> None:
    linear = next(module for name, module in model.named_modules() if name == path)
    out, width = linear_shape(linear)
    bound = 1 / math.sqrt(width)  # as mlx-lm draws it
    a = mx.random.uniform(-bound, bound, (width, options.rank), key=key)
    b = mx.zeros((options.rank, out))
    m = mx.sqrt(row_squares(linear)) if options.method is Method.DORA else None
    wrap(model, path, ModuleAdapter(a, b, options.scale, m))


def _widen(model: Transformer) -> None:
    """All weights in fp32: those that are trained, and what meets them."""
    flat: Any = tree_flatten(model.parameters())
    require_trainable(Method.FULL, any(array.dtype == mx.uint32 for _, array in flat))
    model.set_dtype(mx.float32)
    mx.eval(model.parameters())
