"""One decoder layer in float32, outside the runtime's model: forward, with what its matrices see.

The runtime's Transformer holds a whole model and computes in its dtype. Here one layer's weights
are passed in, so that a model of any size streams through, and every matrix's input can be caught
on the way. Products go through dense.product, which is what makes it usable without a GPU.
"""

from collections.abc import Callable, Mapping

import mlx.core as mx

from mlx_magistral.model.config import ModelConfig

from .dense import product

# Called with a group of matrices that share an input and that input, (tokens, columns).
OnInput = Callable[[tuple[str, ...], mx.array], None]

ATTENTION_INPUTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
ATTENTION_OUTPUT = ("self_attn.o_proj",)
MLP_INPUTS = ("mlp.gate_proj", "mlp.up_proj")
MLP_OUTPUT = ("mlp.down_proj",)


def layer_forward(
    weights: Mapping[str, mx.array],
    hidden: mx.array,
    config: ModelConfig,
    on_input: OnInput = lambda names, inputs: None,
) -> mx.array:
    """Hidden states (B, L, D) after one layer; ``weights`` by name inside the layer."""
    B, L, D = hidden.shape
    normed = mx.fast.rms_norm(hidden, weights["input_layernorm.weight"], config.norm_eps)
    flat = normed.reshape(-1, D)
    on_input(ATTENTION_INPUTS, flat)
    q, k, v = (
        product(flat, weights[f"{name}.weight"].T).reshape(B, L, -1, config.head_dim)
        for name in ATTENTION_INPUTS
    )
    mixed = _attention(q, k, v, config)
    on_input(ATTENTION_OUTPUT, mixed)
    hidden = hidden + product(mixed, weights["self_attn.o_proj.weight"].T).reshape(B, L, D)
    normed = mx.fast.rms_norm(hidden, weights["post_attention_layernorm.weight"], config.norm_eps)
    flat = normed.reshape(-1, D)
    on_input(MLP_INPUTS, flat)
    gate, up = (product(flat, weights[f"{name}.weight"].T) for name in MLP_INPUTS)
    inner = gate * mx.sigmoid(gate) * up
    on_input(MLP_OUTPUT, inner)
    return hidden + product(inner, weights["mlp.down_proj.weight"].T).reshape(B, L, D)


def _attention(q: mx.array, k: mx.array, v: mx.array, config: ModelConfig) -> mx.array:
    """Causal attention over (B, L, heads, head_dim); returns (B * L, heads * head_dim)."""
    B, L, heads, size = q.shape
    q, k, v = (array.swapaxes(1, 2) for array in (q, k, v))  # (B, H, L, D)
    q, k = (
        mx.fast.rope(array, size, traditional=False, base=config.rope_theta, scale=1.0, offset=0)
        for array in (q, k)
    )
    # The queries of one KV head become rows of one product.
    kv_heads = k.shape[1]
    grouped = q.reshape(B, kv_heads, heads // kv_heads * L, size) * size**-0.5
    scores = product(grouped, k.swapaxes(2, 3)).reshape(B, heads, L, L)
    causal = mx.triu(mx.full((L, L), -mx.inf), k=1)
    shares = mx.softmax(scores + causal, axis=-1, precise=True)
    mixed = product(shares.reshape(B, kv_heads, -1, L), v).reshape(B, heads, L, size)
    return mixed.swapaxes(1, 2).reshape(B * L, heads * size)
