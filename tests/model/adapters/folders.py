"""Adapters with random content in mlx-lm's form, for models of tests/model/builders.py."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def module_shapes(config: ModelConfig, kinds: tuple[str, ...] = ALL) -> dict[str, tuple[int, int]]:
    """Module path -> (out, in) of the linears of all layers whose name ends so."""
    return {
        name.removesuffix(".weight"): (shape[0], shape[1])
        for name, shape in expected_shapes(config).items()
        if name.removesuffix(".weight").endswith(kinds)
    }


def write_adapter(
    folder: Path,
    config: ModelConfig,
    *,
    rank: int = 4,
    scale: float = 2.5,
    is_dora: bool = False,
    size: float = 0.1,
    seed: int = 3,
    **more: Any,
) -> Path:
    """What mlx-lm would have written of some training of all layers."""
    folder.mkdir(parents=True, exist_ok=True)
    key = mx.random.key(seed)
    tensors = {}
    for module, (out, width) in module_shapes(config).items():
        key, a, b, m = mx.random.split(key, 4)
        tensors[f"{module}.lora_a"] = mx.random.normal((width, rank), key=a) * size
        tensors[f"{module}.lora_b"] = mx.random.normal((rank, out), key=b) * size
        if is_dora:
            tensors[f"{module}.m"] = 1 + mx.random.uniform(shape=(out,), key=m)
    mx.save_safetensors(str(folder / "adapters.safetensors"), tensors)
    content = {
        "fine_tune_type": "dora" if is_dora else "lora",
        "num_layers": config.n_layers,
        "lora_parameters": {"rank": rank, "scale": scale, "dropout": 0.0},
        **more,
    }
    (folder / "adapter_config.json").write_text(json.dumps(content))
    return folder
