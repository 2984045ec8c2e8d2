"""The small files of a converted folder: what mlx-lm, LM Studio and we read beside weights."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from magistral_convert.recipe import Recipe, module_path
from magistral_convert.sources.source import Source
from mlx_magistral.errors import ConversionError
from mlx_magistral.model.config import ModelConfig

from .files import encode_json, write_file
from .plan import ConversionPlan
from .shards import Fault

INDEX_FILE = "model.safetensors.index.json"
TOKENIZER_FILE = "tekken.json"
# Copied as they are where the source has them. Ours are the first three; mlx-lm and LM Studio read
# the others where a fine-tune brings them.
_COPIED = (
    TOKENIZER_FILE,
    "SYSTEM_PROMPT.txt",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
# The model card's sampling; ids of tekken v13.
_GENERATION_CONFIG = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "do_sample": True,
    "temperature": 0.7,
    "top_p": 0.95,
}


def write_side_files(
    folder: Path,
    source: Source,
    plan: ConversionPlan,
    recipe: Recipe,
    fault: Fault,
    tokenizer: Path | None = None,
) -> dict[str, str]:
    """Write everything but weights, README.md and conversion.json; return name -> SHA-256."""
    contents = {
        "config.json": encode_json(hf_config(source.config, plan, recipe)),
        "params.json": encode_json(source.config.to_params()),
        INDEX_FILE: encode_json(_index(plan)),
        "generation_config.json": encode_json(_GENERATION_CONFIG),
    }
    for name in _COPIED:
        path = source.folder / name
        if path.is_file():
            contents[name] = _read(path)
    if tokenizer is not None:
        contents[TOKENIZER_FILE] = _read(tokenizer)
    return {name: write_file(folder / name, data, fault) for name, data in contents.items()}


def hf_config(config: ModelConfig, plan: ConversionPlan, recipe: Recipe) -> dict[str, Any]:
    """config.json with MLX's quantization: the default, and each module that differs from it."""
    content = {**config.to_hf(), "torch_dtype": recipe.dtype}
    default = recipe.default_format
    if default is not None:
        quantization: dict[str, Any] = {**asdict(default), "mode": "affine"}
        for tensor in plan.tensors:
            if tensor.format is not None and tensor.format != default:
                quantization[module_path(tensor.name)] = asdict(tensor.format)
        content["quantization"] = quantization
        content["quantization_config"] = quantization
    return content


def _index(plan: ConversionPlan) -> Mapping[str, Any]:
    files = {part.name: shard.file for shard in plan.shards for part in shard.parts}
    metadata = {"total_size": plan.nbytes, "total_parameters": plan.weights}
    return {"metadata": metadata, "weight_map": dict(sorted(files.items()))}


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        if path.suffix == ".json":
            json.loads(data)
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path} cannot be read: {error}. Fetch the file again.") from error
    return data
