"""Weights into a model: any kind of checkpoint, strictly, without a second copy of anything."""

# mypy: allow-untyped-calls
# because mlx's modules are annotated in part only.

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.quantized import quantize

from mlx_magistral.model.checkpoint import Checkpoint, open_checkpoint
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.quant_config import QuantFormat
from mlx_magistral.model.transformer import Transformer


class LoadedModel(NamedTuple):
    """A model with its weights, and the configuration it was built from."""

    model: Transformer
    config: ModelConfig


def load_model(folder: Path | str) -> LoadedModel:
    """Build the model of a native, HF or MLX-quantized folder; see build_model.

    Raises CheckpointError.
    """
    return build_model(open_checkpoint(folder))


def build_model(checkpoint: Checkpoint) -> LoadedModel:
    """Build the model of a checkpoint; weights keep their stored dtype.

    Weights are mapped: each is read when first evaluated, or all by ``read_weights``, and the
    values that MLX gives fresh layers are never computed.
    """
    model = Transformer(checkpoint.config)
    quantize_modules(model, stored_formats(checkpoint))
    model.load_weights(list(checkpoint.read_all()), strict=True)
    model.eval()
    return LoadedModel(model, checkpoint.config)


def read_weights(model: Transformer) -> None:
    """Read all weights in the order they are used, holding each once.

    Call it before the first pass on a Mac: a pass that waits for a file inside a GPU command buffer
    can exceed the GPU's time limit. A layer at a time, because one evaluation of everything would
    keep a native checkpoint's wq and wk a second time in the other order.
    """
    if "embed_tokens" in model.model:  # not in a part of a model that begins further on
        mx.eval(model.model.embed_tokens.parameters())
    for layer in model.layers:
        mx.eval(layer.parameters())
    mx.eval(model.parameters())


def quantize_modules(model: Transformer, formats: Mapping[str, QuantFormat]) -> None:
    """Put quantized modules where ``formats`` has one, by module path."""

    def stored_format(path: str, module: Module) -> dict[str, int] | bool:
        form = formats.get(path)
        return False if form is None else {"group_size": form.group_size, "bits": form.bits}

    quantize(model, class_predicate=stored_format)


def stored_formats(checkpoint: Checkpoint) -> dict[str, QuantFormat]:
    """The format of each module that the checkpoint stores in codes, by path."""
    formats: dict[str, QuantFormat] = {}
    if checkpoint.quantization is None:
        return formats
    for name in checkpoint.tensors:
        if name.endswith(".scales"):
            path = name.removesuffix(".scales")
            form = checkpoint.quantization.for_path(path)
            assert form is not None  # the checkpoint's check refuses scales without a format
            formats[path] = form
    return formats
