"""PEFT's form: adapter_model.safetensors with lora_A (rank, in) and lora_B (out, rank), both ways.

A module's scale is alpha / rank, or alpha / sqrt(rank) with rank-stabilized LoRA
(arXiv:2312.03732); patterns give some modules an alpha of their own.
"""

# mypy: allow-untyped-calls

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.errors import AdapterError
from mlx_magistral.model.adapters.adapter import ModuleAdapter
from mlx_magistral.model.names import text_name

PEFT_FILE = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_LEAVES = {
    "lora_A.weight": "a",
    "lora_B.weight": "b",
    "lora_magnitude_vector": "m",
    "lora_magnitude_vector.weight": "m",
}
# Written beside the adapter of a head: the base's own weights.
_OF_BASE = "base_layer.weight"
# Of LoraConfig: what changes the computation and is not computed here, where it is set.
_FOREIGN = (
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
    "lora_bias",
    "fan_in_fan_out",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
)
# Ways to begin that move weights of the base into the adapter.
_MOVED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


def peft_modules(
    tensors: Mapping[str, mx.array], config: Mapping[str, Any], path: Path
) -> dict[str, ModuleAdapter]:
    """Module path -> its change; raises AdapterError for what is no plain LoRA or DoRA."""
    _refuse_foreign(config, path)
    found: dict[str, dict[str, mx.array]] = {}
    for name, array in tensors.items():
        module, leaf = _split(name)
        if leaf == _OF_BASE:
            continue
        if leaf is None:
            raise AdapterError(
                f"{path.parent / PEFT_FILE} holds {name}, and only LoRA and DoRA of linear layers "
                "are read here. Merge the adapter with PEFT and convert the result."
            )
        found.setdefault(module, {})[leaf] = array
    modules = {}
    for module, parts in found.items():
        if not {"a", "b"} <= parts.keys():
            raise AdapterError(f"{path.parent / PEFT_FILE} has half of {module}.")
        rank = parts["a"].shape[0]
        scale = _scale(module, rank, config, path)
        modules[module] = ModuleAdapter(parts["a"].T, parts["b"].T, scale, parts.get("m"))
    return modules


def peft_tensors(modules: Mapping[str, ModuleAdapter]) -> dict[str, mx.array]:
    """The same modules under PEFT's names and in its layout."""
    tensors = {}
    for module, change in modules.items():
        tensors[f"{_PREFIX}{module}.lora_A.weight"] = mx.contiguous(change.a.T)
        tensors[f"{_PREFIX}{module}.lora_B.weight"] = mx.contiguous(change.b.T)
        if change.m is not None:
            tensors[f"{_PREFIX}{module}.lora_magnitude_vector"] = change.m
    return tensors


def peft_config(modules: Mapping[str, ModuleAdapter], base_name: str | None) -> dict[str, Any]:
    """adapter_config.json for PEFT; every module's rank and alpha are named where they differ."""
    ranks = {module: change.a.shape[1] for module, change in modules.items()}
    alphas = {module: change.scale * ranks[module] for module, change in modules.items()}
    rank = max(set(ranks.values()), key=list(ranks.values()).count)
    alpha = max(set(alphas.values()), key=list(alphas.values()).count)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": rank,
        "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
        "rank_pattern": {name: each for name, each in ranks.items() if each != rank},
        "alpha_pattern": {name: each for name, each in alphas.items() if each != alpha},
        "target_modules": sorted(modules),
        "use_dora": any(change.m is not None for change in modules.values()),
        "use_rslora": False,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "modules_to_save": None,
    }


def _refuse_foreign(config: Mapping[str, Any], path: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise AdapterError(
            f"{path}: peft_type is {config.get('peft_type')!r}, and only 'LORA' is read here."
        )
    foreign = [key for key in _FOREIGN if config.get(key)]
    if config.get("bias", "none") != "none":
        foreign.append("bias")
    if str(config.get("init_lora_weights")).startswith(_MOVED_BASE):
        foreign.append("init_lora_weights")
    if foreign:
        told = ", ".join(f"{key} = {config[key]!r}" for key in foreign)
        raise AdapterError(
            f"{path}: {told} is not computed here. Merge the adapter with PEFT and convert the "
            "result."
        )


def _split(name: str) -> tuple[str, str | None]:
    """``base_model.model.X.lora_A.weight`` -> X and ``a``; None for any other leaf."""
    bare = text_name(name.removeprefix(_PREFIX))
    for ending, leaf in _LEAVES.items():
        if bare.endswith(f".{ending}"):
            return bare.removesuffix(f".{ending}"), leaf
    return bare, _OF_BASE if bare.endswith(f".{_OF_BASE}") else None


def _scale(module: str, rank: int, config: Mapping[str, Any], path: Path) -> float:
    alpha = config.get("lora_alpha")
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):  # as peft.utils.other.get_pattern_key
            alpha = value
            break
    if isinstance(alpha, bool) or not isinstance(alpha, int | float):
        raise AdapterError(f"{path} has no number as lora_alpha ({alpha!r}); it is never guessed.")
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
