"""One decoder layer in float32, outside the runtime's model: forward, with what its matrices see.

The runtime's Transformer holds a whole model and computes in its dtype. Here one layer's weights
are passed in, so that a model of any size streams through, and every matrix's input can be caught
on the way. Its arrays are those of the library that computes here (dense.py).
"""

from collections.abc import Callable, Mapping

import mlx.core as mx

from magistral_convert.rounding.dense import Array, product
from mlx_magistral.model.config import ModelConfig

from .kernels import causal_attention, gated, rms_norm, turned

Names = tuple[str, ...]
Weights = Mapping[str, mx.array]  # of one layer, by name inside it
# Called with a group of matrices that share an input and that input, (tokens, columns).
OnInput = Callable[[Names, Array], None]

ATTENTION_INPUTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
ATTENTION_OUTPUT = ("self_attn.o_proj",)
MLP_INPUTS = ("mlp.gate_proj", "mlp.up_proj")
MLP_OUTPUT = ("mlp.down_proj",)
# The matrices that read hidden states, and the one that adds to them what these come to.
AFTER: Mapping[Names, Names] = {ATTENTION_INPUTS: ATTENTION_OUTPUT, MLP_INPUTS: MLP_OUTPUT}
STAGES = tuple(names for pair in AFTER.items() for names in pair)
MATRICES = tuple(name for names in STAGES for name in names)
_NORMS = {ATTENTION_INPUTS: "input_layernorm", MLP_INPUTS: "post_attention_layernorm"}


def stage_of(name: str) -> Names:
    """The matrices that share the inputs of the one with this name, itself included."""
    return next(names for names in STAGES if name in names)


def layer_forward(
    weights: Weights,
    hidden: Array,
    config: ModelConfig,
    on_input: OnInput = lambda names, inputs: None,
) -> Array:
    """Hidden states (B, L, D) after one layer."""
    for before, after in AFTER.items():
        inner = inner_inputs(weights, hidden, before, config, on_input)
        on_input(after, inner)
        hidden = add_output(weights, hidden, after, inner)
    return hidden


def normed_inputs(weights: Weights, hidden: Array, names: Names, config: ModelConfig) -> Array:
    """What ATTENTION_INPUTS or MLP_INPUTS see (tokens, D) of hidden states (B, L, D)."""
    gain = weights[f"{_NORMS[names]}.weight"]
    return rms_norm(hidden, gain, config.norm_eps).reshape(-1, hidden.shape[-1])


def inner_inputs(
    weights: Weights,
    hidden: Array,
    names: Names,
    config: ModelConfig,
    on_input: OnInput = lambda names, inputs: None,
) -> Array:
    """What the matrix after ``names`` sees (tokens, columns) of hidden states (B, L, D)."""
    inputs = normed_inputs(weights, hidden, names, config)
    on_input(names, inputs)
    outputs = [product(inputs, weights[f"{name}.weight"].T) for name in names]
    if names == MLP_INPUTS:
        gate, up = outputs
        return gated(gate, up)
    q, k, v = (output.reshape(*hidden.shape[:2], -1, config.head_dim) for output in outputs)
    return _attention(q, k, v, config)


def add_output(weights: Weights, hidden: Array, names: Names, inner: Array) -> Array:
    """Hidden states (B, L, D) after ATTENTION_OUTPUT or MLP_OUTPUT was added to them."""
    (name,) = names
    return hidden + product(inner, weights[f"{name}.weight"].T).reshape(hidden.shape)


def _attention(q: Array, k: Array, v: Array, config: ModelConfig) -> Array:
    """Causal attention over (B, L, heads, head_dim); returns (B * L, heads * head_dim)."""
    B, L, heads, size = q.shape
    q, k, v = (array.swapaxes(1, 2) for array in (q, k, v))  # (B, H, L, D)
    mixed = causal_attention(turned(q, config), turned(k, config), v)
    return mixed.swapaxes(1, 2).reshape(B * L, heads * size)
