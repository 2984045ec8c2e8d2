"""read_adapter: a folder of mlx-lm's or PEFT's form to an Adapter; the rest is refused by name.

mlx-lm: adapter_config.json and adapters.safetensors, lora_a (in, rank) and lora_b (rank, out).
PEFT is peft_form.py's business. Told apart by ``peft_type``, which PEFT alone writes.
"""

# mypy: allow-untyped-calls

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.errors import AdapterError, CheckpointError
from mlx_magistral.model.adapters.adapter import (
    BASE_NAME,
    BASE_SHA256,
    CONFIG_FILE,
    Adapter,
    ModuleAdapter,
)
from mlx_magistral.model.adapters.peft_form import PEFT_FILE, peft_modules
from mlx_magistral.model.config_fields import read_json
from mlx_magistral.model.names import text_name
from mlx_magistral.model.safetensors_header import read_header

MLX_FILE = "adapters.safetensors"

_LEAVES = ("lora_a", "lora_b", "m")


def read_adapter(folder: Path | str) -> Adapter:
    """Read what a folder changes of a model; arrays are mapped and read when they are used.

    Raises AdapterError naming the file and what is wrong in it.
    """
    folder = Path(folder)
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise AdapterError(
            f"{folder} is no adapter: it has no {CONFIG_FILE}. Give the folder that train, mlx-lm "
            "or PEFT wrote."
        )
    try:
        config = read_json(path)
        is_peft = "peft_type" in config
        file = folder / (PEFT_FILE if is_peft else MLX_FILE)
        if not file.is_file():
            raise AdapterError(
                f"{folder} has no {file.name}. Copy it there from where it was made."
            )
        read_header(file)
    except CheckpointError as error:
        raise AdapterError(str(error)) from error
    tensors = {text_name(name): array for name, array in _load(file).items()}
    weights: Mapping[str, mx.array] = {}
    if is_peft:
        modules = peft_modules(tensors, config, path)
    elif config.get("fine_tune_type", "lora") == "full":
        modules, weights = {}, tensors
    else:
        modules = _mlx_modules(tensors, config, path)
    return Adapter(
        folder=folder,
        modules=modules,
        weights=weights,
        base_sha256=config.get(BASE_SHA256),
        base_name=config.get(BASE_NAME)
        or config.get("model")
        or config.get("base_model_name_or_path"),
        config=config,
        file=file,
    )


def _mlx_modules(
    tensors: Mapping[str, mx.array], config: Mapping[str, Any], path: Path
) -> dict[str, ModuleAdapter]:
    parameters = config.get("lora_parameters")
    scale = parameters.get("scale") if isinstance(parameters, dict) else None
    if isinstance(scale, bool) or not isinstance(scale, int | float):
        raise AdapterError(
            f"{path} has no number as lora_parameters.scale ({scale!r}), and it is never guessed."
        )
    found: dict[str, dict[str, mx.array]] = {}
    for name, array in tensors.items():
        module, _, leaf = name.rpartition(".")
        if leaf not in _LEAVES:
            raise AdapterError(f"{path.parent / MLX_FILE} holds {name}, which is no LoRA or DoRA.")
        found.setdefault(module, {})[leaf] = array
    modules = {}
    for module, parts in found.items():
        if not {"lora_a", "lora_b"} <= parts.keys():
            raise AdapterError(
                f"{path.parent / MLX_FILE} has half of {module}: {', '.join(parts)}."
            )
        modules[module] = ModuleAdapter(
            parts["lora_a"], parts["lora_b"], float(scale), parts.get("m")
        )
    return modules


def _load(file: Path) -> dict[str, mx.array]:
    try:
        loaded = mx.load(str(file), stream=mx.cpu)
    except RuntimeError as error:
        raise AdapterError(f"{file} is refused by mlx: {error}.") from error
    assert isinstance(loaded, dict)  # what mx.load makes of a .safetensors file
    return loaded
