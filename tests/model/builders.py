"""Small random checkpoints in each form that the loader reads."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes, is_permuted, native_name, unpermute

SMALL = ModelConfig(
    dim=64,
    n_layers=2,
    head_dim=32,
    hidden_dim=96,
    n_heads=4,
    n_kv_heads=2,
    vocab_size=128,
    rope_theta=1e9,
    norm_eps=1e-5,
    max_position_embeddings=None,
    tie_word_embeddings=False,
)
# head_dim is dim / n_heads in the third alone.
CONFIGS = {
    "grouped": SMALL,
    "one key head": replace(SMALL, dim=96, n_heads=3, n_kv_heads=1, head_dim=64, n_layers=1),
    "as many keys": replace(SMALL, n_heads=4, n_kv_heads=4, head_dim=16, rope_theta=1e4),
    "eight to two": replace(SMALL, n_heads=8, n_kv_heads=2, head_dim=24, norm_eps=1e-3),
    "tied": replace(SMALL, tie_word_embeddings=True),
}


def random_weights(
    config: ModelConfig, dtype: mx.Dtype = mx.float32, seed: int = 0
) -> dict[str, mx.array]:
    """HF names and layout; scaled so that activations and the largest logits are near 1."""
    key = mx.random.key(seed)
    weights = {}
    for name, shape in expected_shapes(config).items():
        key, part = mx.random.split(key)
        values = mx.random.normal(shape, key=part)
        if len(shape) == 1:
            values = 1 + 0.1 * values
        elif name != "model.embed_tokens.weight" or config.tie_word_embeddings:
            values = values / shape[1] ** 0.5
        if name == "model.norm.weight":
            # Largest logit near 1, where 2e-2 is a handful of roundings of a bfloat16. The tied
            # model is the noisier one: its embedding is small beside what the layers add.
            values = values * (0.2 if config.tie_word_embeddings else 0.35)
        weights[name] = values.astype(dtype)
    mx.eval(weights)
    return weights


def write_hf(
    folder: Path,
    config: ModelConfig = SMALL,
    weights: dict[str, mx.array] | None = None,
    *,
    shards: int = 1,
    extra_config: dict[str, Any] | None = None,
) -> Path:
    """config.json and model*.safetensors; with an index where there are several shards."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = random_weights(config) if weights is None else weights
    _write_json(folder / "config.json", {**config.to_hf(), **(extra_config or {})})
    _write_shards(folder, "model", weights, shards)
    return folder


def write_native(
    folder: Path,
    config: ModelConfig = SMALL,
    weights: dict[str, mx.array] | None = None,
    *,
    shards: int = 1,
) -> Path:
    """params.json and consolidated*.safetensors, wq and wk in the native order of rows."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = random_weights(config) if weights is None else weights
    native = {}
    for name, value in weights.items():
        stored = native_name(name)
        assert stored is not None
        native[stored] = (
            mx.contiguous(unpermute(value, config.head_dim)) if is_permuted(name) else value
        )
    _write_json(folder / "params.json", config.to_params())
    _write_shards(folder, "consolidated", native, shards)
    return folder


def edit_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None as a value removes the key."""
    content = json.loads(path.read_text()) | changes
    _write_json(path, {key: value for key, value in content.items() if value is not None})


def _write_shards(folder: Path, stem: str, weights: dict[str, mx.array], shards: int) -> None:
    if shards == 1:
        mx.save_safetensors(str(folder / f"{stem}.safetensors"), weights)
        return
    weight_map = {}
    for index in range(shards):
        file = f"{stem}-{index + 1:05}-of-{shards:05}.safetensors"
        part = {name: weights[name] for name in sorted(weights)[index::shards]}
        mx.save_safetensors(str(folder / file), part)
        weight_map |= dict.fromkeys(part, file)
    _write_json(folder / f"{stem}.safetensors.index.json", {"weight_map": weight_map})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1))
