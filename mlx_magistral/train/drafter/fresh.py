"""A head before its first step: what it can take from its target it takes, the rest is small.

Its head over the vocabulary, its layer and the norms are those of the target's last layer, which
reads the latest of the states alone: the first step begins with what the target does there. Only
the embedding's side is drawn, what joins the other states, and an MLP of another width.
"""

# mypy: allow-untyped-calls, no-warn-return-any

import math
from typing import Any

import mlx.core as mx
from mlx.nn.layers.quantized import QuantizedLinear

from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.eagle.config import HeadConfig, default_aux_layers
from mlx_magistral.model.eagle.network import Head
from mlx_magistral.model.eagle.reading import head_shapes
from mlx_magistral.model.transformer import Layer, Transformer

# Wider than this times its width the MLP of one layer makes no better guesses, and slower ones.
_MLP_RATIO = 2.5
_MLP_STEP = 256
# Of what is drawn beside what the target gives.
_DRAWN_SHARE = 0.3


def head_config(target: ModelConfig, draft_vocab: int, hidden_dim: int = 0) -> HeadConfig:
    """The shape of a head for a target: its attention, and an MLP of ``hidden_dim`` or a usual one.

    A small target's is as wide as the target's own.
    """
    usual = math.ceil(_MLP_RATIO * target.dim / _MLP_STEP) * _MLP_STEP
    layer = ModelConfig(
        dim=target.dim,
        n_layers=1,
        head_dim=target.head_dim,
        hidden_dim=hidden_dim or min(target.hidden_dim, usual),
        n_heads=target.n_heads,
        n_kv_heads=target.n_kv_heads,
        vocab_size=target.vocab_size,
        rope_theta=target.rope_theta,
        norm_eps=target.norm_eps,
        max_position_embeddings=target.max_position_embeddings,
        tie_word_embeddings=False,
    )
    return HeadConfig(
        layer, min(draft_vocab, target.vocab_size), default_aux_layers(target.n_layers)
    )


def fresh_head(
    config: HeadConfig, target: Transformer, targets: mx.array, states: mx.array, seed: int
) -> Head:
    """Parameters in fp32; ``targets`` are the ids of its columns.

    By some ``states`` of the target (rows, features * dim) the share of each layer that is drawn
    begins alike: a residual stream grows from layer to layer.
    """
    head = Head(config, has_embedding=False, has_lm_head=True)
    key = mx.random.key(seed)
    dim = config.layer.dim
    drawn = {}
    for name, shape in _matrices(config).items():
        key, own = mx.random.split(key)
        drawn[name] = mx.random.normal(shape, key=own) * (0.7 / math.sqrt(shape[1]))
    parts = mx.split(states.astype(mx.float32), len(config.aux_layers), axis=-1)
    sizes = mx.stack([mx.sqrt(mx.mean(part.square())) for part in parts])
    joined = drawn["fc.weight"] * (_DRAWN_SHARE * sizes[-1] / mx.repeat(sizes, dim))
    drawn["fc.weight"] = joined.at[:, -dim:].add(mx.eye(dim))
    last = target.layers[-1]
    norms = {
        "norm.weight": target.model.norm.weight,
        "layers.0.input_layernorm.weight": mx.ones((dim,)),
        "layers.0.hidden_norm.weight": last.input_layernorm.weight,
        "layers.0.post_attention_layernorm.weight": last.post_attention_layernorm.weight,
    }
    columns = {"lm_head.weight": _target_rows(target, targets)}
    weights = {**drawn, **_layer_of(last, drawn, dim), **norms, **columns}
    head.load_weights([(name, each.astype(mx.float32)) for name, each in weights.items()])
    mx.eval(head.parameters())
    return head


def _layer_of(last: Layer, drawn: dict[str, mx.array], dim: int) -> dict[str, mx.array]:
    """What the target's last layer has for the head's: attention, and an MLP of the same width."""
    found = {}
    for name, own in drawn.items():
        if name == "fc.weight":
            continue
        *path, _ = name.removeprefix("layers.0.").split(".")
        linear: Any = last
        for each in path:
            linear = linear[each]
        weight = _rows(linear, slice(None)).astype(mx.float32)
        if path[-1] in ("q_proj", "k_proj", "v_proj"):
            weight = mx.concatenate([own[:, :dim], weight], axis=-1)
        if weight.shape == own.shape:
            found[name] = weight
        elif path[-1] == "down_proj":
            found[name] = own * _DRAWN_SHARE  # what adds to the residual begins small
    return found


def _matrices(config: HeadConfig) -> dict[str, tuple[int, int]]:
    return {
        name: (shape[0], shape[1])
        for name, shape in head_shapes(config).items()
        if len(shape) == 2 and not name.startswith(("embed_tokens", "lm_head"))
    }


def _target_rows(target: Transformer, targets: mx.array) -> mx.array:
    """The rows of the target's head for these ids."""
    if "lm_head" not in target:
        return target.model.embed_tokens(targets)
    return _rows(target.lm_head, targets)


def _rows(linear: Any, rows: mx.array | slice) -> mx.array:
    """Some rows of a weight, whatever it is kept in."""
    if not isinstance(linear, QuantizedLinear):
        return linear.weight[rows]
    assert linear.biases is not None  # affine, the one mode that checkpoints are read in
    parts = linear.weight[rows], linear.scales[rows], linear.biases[rows]
    return mx.dequantize(*parts, group_size=linear.group_size, bits=linear.bits)
