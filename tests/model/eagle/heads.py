"""Folders of EAGLE-3 heads with random weights, in both published layouts."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.eagle.config import HeadConfig, default_aux_layers
from mlx_magistral.model.eagle.reading import head_shapes

AUX = "eagle_aux_hidden_state_layer_ids"


def head_config(target: ModelConfig, columns: int, **variant: Any) -> HeadConfig:
    """A head as wide as its target, with an MLP of half its width."""
    layer = ModelConfig(
        dim=target.dim,
        n_layers=1,
        head_dim=target.head_dim,
        hidden_dim=target.hidden_dim // 2,
        n_heads=target.n_heads,
        n_kv_heads=target.n_kv_heads,
        vocab_size=target.vocab_size,
        rope_theta=1e4,
        norm_eps=1e-5,
        max_position_embeddings=None,
        tie_word_embeddings=False,
    )
    return HeadConfig(layer, columns, default_aux_layers(target.n_layers), **variant)


def random_tensors(config: HeadConfig, seed: int = 0) -> dict[str, mx.array]:
    """By published names, embedding included; every other id has a column."""
    key, tensors = mx.random.key(seed), {}
    for name, shape in head_shapes(config).items():
        key, own = mx.random.split(key)
        drawn = mx.random.normal(shape, key=own)
        tensors[name] = 1 + 0.1 * drawn if len(shape) == 1 else drawn * shape[-1] ** -0.5
    columns = mx.arange(config.draft_vocab_size, dtype=mx.int64)
    tensors["d2t"] = columns if config.draft_vocab_size < config.layer.vocab_size else 0 * columns
    return tensors


def write_head(
    folder: Path,
    target: ModelConfig,
    *,
    columns: int | None = None,
    without: tuple[str, ...] = ("embed_tokens.weight",),
    is_flat: bool = False,
    seed: int = 0,
    **variant: Any,
) -> Path:
    """A head for a target: speculators' layout, or the flat one of SafeAILab and SGLang."""
    columns = target.vocab_size // 2 if columns is None else columns
    config = head_config(target, columns, **variant)
    tensors = random_tensors(config, seed)
    content = config.to_json("a target", 3)
    if is_flat:
        ids = [layer - 1 for layer in config.aux_layers]
        content = {
            **content["transformer_layer_config"],
            "architectures": ["LlamaForCausalLMEagle3"],
            "draft_vocab_size": columns,
            "eagle_config": {AUX: ids},
        }
        tensors = {name.replace("layers.0.", "midlayer."): each for name, each in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content))
    kept = {name: each for name, each in tensors.items() if name not in without}
    mx.save_safetensors(str(folder / "model.safetensors"), kept)
    return folder
