"""The adapter as it is handed over: mlx-lm's two files, or PEFT's, and a model card."""

# mypy: allow-untyped-calls

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.model.adapters.adapter import (
    BASE_NAME,
    BASE_SHA256,
    CONFIG_FILE,
    ModuleAdapter,
)
from mlx_magistral.model.adapters.peft_form import PEFT_FILE, peft_config, peft_tensors
from mlx_magistral.model.adapters.reading import MLX_FILE, read_adapter
from mlx_magistral.train.files import write_text, write_whole
from mlx_magistral.train.options import Method, TrainOptions

CARD_FILE = "README.md"


@dataclass(frozen=True)
class Base:
    """The model that was trained on: what the user called it, its identity, and its dtype."""

    name: str
    sha256: str
    n_layers: int
    dtype: mx.Dtype = mx.float32


def write_adapter(
    folder: Path, parameters: Mapping[str, mx.array], options: TrainOptions, base: Base
) -> None:
    """Write parameters by name as mlx-lm's load_adapters reads them; raises TrainingError."""
    keys = sorted({name.split(".", 3)[3].rpartition(".")[0] for name in parameters})
    config: dict[str, Any] = {
        "fine_tune_type": options.method.value,
        "num_layers": options.layers_of(base.n_layers),
        "lora_parameters": {
            "rank": options.rank,
            "scale": options.scale,
            "dropout": 0.0,
            "keys": keys,
        },
        BASE_NAME: base.name,
        BASE_SHA256: base.sha256,
    }
    tensors = dict(parameters)
    if options.method is Method.FULL:
        del config["lora_parameters"]
        # They take the places of the base's own.
        tensors = {name: array.astype(base.dtype) for name, array in tensors.items()}
    write_whole(folder / MLX_FILE, lambda draft: mx.save_safetensors(str(draft), tensors))
    write_text(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")


def write_peft(source: Path, folder: Path) -> None:
    """The adapter in ``source`` once more in PEFT's form; raises AdapterError, TrainingError."""
    adapter = read_adapter(source)
    modules: dict[str, ModuleAdapter] = dict(adapter.modules)
    tensors = peft_tensors(modules)
    mx.eval(tensors)
    write_whole(
        folder / PEFT_FILE,
        lambda draft: mx.save_safetensors(str(draft), tensors, metadata={"format": "pt"}),
    )
    config = peft_config(modules, adapter.base_name)
    write_text(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")
