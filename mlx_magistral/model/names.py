"""Tensor names and shapes: native <-> HF as a table, and the row order of wq and wk.

The model, the converter and every folder we write use HF names and layout; native checkpoints are
translated where they are read.
"""

from typing import TYPE_CHECKING

from mlx_magistral.model.config import ModelConfig

if TYPE_CHECKING:
    import mlx.core as mx

# Native module -> HF module.
_TOP_NAMES = {
    "tok_embeddings": "model.embed_tokens",
    "norm": "model.norm",
    "output": "lm_head",
}
# The same inside layer N: native layers.N.X -> HF model.layers.N.X.
_LAYER_NAMES = {
    "attention_norm": "input_layernorm",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
}
# Their rows are in another order in the two formats; see permute.
_PERMUTED = ("self_attn.q_proj.weight", "self_attn.k_proj.weight")
# Stored in some checkpoints and no part of the text model: names that contain one of these.
_SKIPPED = (
    "vision_",  # vision_tower, vision_encoder, vision_language_adapter of a multimodal Mistral
    "multi_modal_projector",
    "patch_merger",
    "pre_mm_projector_norm",
    "rotary_emb.inv_freq",  # computed from rope_theta
)


def hf_name(native: str) -> str | None:
    """``layers.0.attention.wq.weight`` -> ``model.layers.0.self_attn.q_proj.weight``, else None."""
    module, dot, leaf = native.rpartition(".")
    if module in _TOP_NAMES:
        return _TOP_NAMES[module] + dot + leaf
    parts = module.split(".", 2)
    if len(parts) == 3 and parts[0] == "layers" and parts[2] in _LAYER_NAMES:
        return f"model.layers.{parts[1]}.{_LAYER_NAMES[parts[2]]}.{leaf}"
    return None


def native_name(hf: str) -> str | None:
    """The inverse of hf_name."""
    module, dot, leaf = hf.rpartition(".")
    for native, name in _TOP_NAMES.items():
        if module == name:
            return native + dot + leaf
    parts = module.split(".", 3)
    for native, name in _LAYER_NAMES.items():
        if len(parts) == 4 and parts[3] == name:
            return f"layers.{parts[2]}.{native}.{leaf}"
    return None


def text_name(name: str) -> str:
    """An HF name or module path without the prefix it has in a multimodal checkpoint."""
    if name.startswith("model.language_model."):
        return "model." + name.removeprefix("model.language_model.")
    return name.removeprefix("language_model.")


def is_skipped(name: str) -> bool:
    """Whether a stored tensor, by its name in the file, is no part of the text model."""
    return any(part in name for part in _SKIPPED)


def is_permuted(hf: str) -> bool:
    """Whether the tensor's rows are in another order in the native format."""
    return hf.endswith(_PERMUTED)


def permute(weight: "mx.array", head_dim: int) -> "mx.array":
    """Native rows (heads * head_dim, dim) of wq or wk to HF's order.

    Native RoPE turns neighbouring rows, HF's turns row k with row k + head_dim / 2. So the even
    rows of each head come first: with head_dim 6, rows 0 1 2 3 4 5 become 0 2 4 1 3 5.
    """
    rows, dim = weight.shape
    return weight.reshape(-1, head_dim // 2, 2, dim).swapaxes(1, 2).reshape(rows, dim)


def unpermute(weight: "mx.array", head_dim: int) -> "mx.array":
    """HF rows of q_proj or k_proj back to the native order."""
    rows, dim = weight.shape
    return weight.reshape(-1, 2, head_dim // 2, dim).swapaxes(1, 2).reshape(rows, dim)


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """HF name -> shape of every unquantized tensor, in the order the model uses them."""
    dim, hidden = config.dim, config.hidden_dim
    queries, keys = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm": (dim,),
        "self_attn.q_proj": (queries, dim),
        "self_attn.k_proj": (keys, dim),
        "self_attn.v_proj": (keys, dim),
        "self_attn.o_proj": (dim, queries),
        "post_attention_layernorm": (dim,),
        "mlp.gate_proj": (hidden, dim),
        "mlp.up_proj": (hidden, dim),
        "mlp.down_proj": (dim, hidden),
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config.vocab_size, dim)}
    for index in range(config.n_layers):
        for module, shape in layer.items():
            shapes[f"model.layers.{index}.{module}.weight"] = shape
    shapes["model.norm.weight"] = (dim,)
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, dim)
    return shapes


def quantized_shapes(
    hf: str, shape: tuple[int, ...], group_size: int, bits: int
) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the three tensors that store one quantized matrix.

    Codes are one bit stream a row in uint32 words; scales and biases are one a group.
    """
    rows, width = shape
    module = hf.removesuffix(".weight")
    return {
        hf: (rows, width * bits // 32),
        f"{module}.scales": (rows, width // group_size),
        f"{module}.biases": (rows, width // group_size),
    }
