"""Tiny random checkpoints with Magistral's traits: GQA, head_dim != dim / heads, untied head."""

import json
from pathlib import Path

import mlx.core as mx

PARAMS = {
    "dim": 128,
    "n_layers": 3,
    "head_dim": 64,
    "hidden_dim": 256,
    "n_heads": 4,
    "n_kv_heads": 2,
    "rope_theta": 1e9,
    "norm_eps": 1e-5,
    "vocab_size": 192,
    "max_position_embeddings": 512,
}
HF_CONFIG = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "head_dim": 64,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_theta": 1e9,
    "rms_norm_eps": 1e-5,
    "vocab_size": 192,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
}
_LAYER = {
    "attention.wq": (256, 128),
    "attention.wk": (128, 128),
    "attention.wv": (128, 128),
    "attention.wo": (128, 256),
    "feed_forward.w1": (256, 128),
    "feed_forward.w3": (256, 128),
    "feed_forward.w2": (128, 256),
    "attention_norm": (128,),
    "ffn_norm": (128,),
}
HF_NAMES = {
    "tok_embeddings": "model.embed_tokens",
    "norm": "model.norm",
    "output": "lm_head",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def native_weights(dtype: mx.Dtype = mx.bfloat16, seed: int = 0) -> dict[str, mx.array]:
    """Random tensors under native names."""
    mx.random.seed(seed)
    shapes = {"tok_embeddings.weight": (192, 128), "norm.weight": (128,)}
    shapes["output.weight"] = (192, 128)
    for layer in range(PARAMS["n_layers"]):
        for name, shape in _LAYER.items():
            shapes[f"layers.{layer}.{name}.weight"] = shape
    return {
        name: (mx.random.normal(shape) * 0.1 + (len(shape) == 1)).astype(dtype)
        for name, shape in shapes.items()
    }


def hf_weights(native: dict[str, mx.array]) -> dict[str, mx.array]:
    """The same tensors as transformers names and lays them out, written out naively."""
    result = {}
    for name, array in native.items():
        stem = name.removesuffix(".weight")
        if name.startswith("layers."):
            _, layer, part = stem.split(".", 2)
            stem = f"model.layers.{layer}.{HF_NAMES[part]}"
        else:
            stem = HF_NAMES[stem]
        if stem.endswith(("q_proj", "k_proj")):
            head = PARAMS["head_dim"]
            order = [
                first + 2 * pair + half
                for first in range(0, array.shape[0], head)
                for half in (0, 1)
                for pair in range(head // 2)
            ]
            array = array[mx.array(order)]
        result[f"{stem}.weight"] = array
    return result


def write_native(folder: Path, weights: dict[str, mx.array]) -> Path:
    """A native checkpoint folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.json").write_text(json.dumps(PARAMS))
    mx.save_safetensors(str(folder / "consolidated.safetensors"), weights)
    return folder


def write_hf(folder: Path, weights: dict[str, mx.array], shards: int = 2) -> Path:
    """An HF checkpoint folder in several shards with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(HF_CONFIG))
    names = list(weights)
    files = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: weights[name] for name in names[shard::shards]}
        mx.save_safetensors(str(folder / file), part, metadata={"format": "pt"})
        files.update(dict.fromkeys(part, file))
    index = {"metadata": {"total_size": 0}, "weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder
