"""The gradient of one decoder layer, written out, so that it too streams and runs without a GPU.

The forward pass is layer.py's; its intermediate values are computed again here rather than kept.
"""

from collections.abc import Callable

from magistral_convert.rounding.dense import Array, library, like, product
from mlx_magistral.model.config import ModelConfig

from .kernels import causal_shares, rms_norm, sigmoid, turned
from .layer import Weights

# Called with a matrix's name, its input (tokens, C) and the gradient at its output (tokens, R).
OnGradient = Callable[[str, Array, Array], None]


def layer_backward(
    weights: Weights,
    hidden: Array,
    gradient: Array,
    config: ModelConfig,
    on_gradient: OnGradient,
) -> Array:
    """The gradient at a layer's input, given its input and the gradient at its output."""
    attention = _Attention(weights, hidden, config)
    middle = hidden + product(attention.mixed, weights["self_attn.o_proj.weight"].T).reshape(
        hidden.shape
    )
    middle_gradient = gradient + _mlp_backward(weights, middle, gradient, config, on_gradient)
    return middle_gradient + attention.backward(middle_gradient, on_gradient)


def _mlp_backward(
    weights: Weights,
    hidden: Array,
    gradient: Array,
    config: ModelConfig,
    on_gradient: OnGradient,
) -> Array:
    gain = weights["post_attention_layernorm.weight"]
    inputs = rms_norm(hidden, gain, config.norm_eps).reshape(-1, hidden.shape[-1])
    gate, up = (product(inputs, weights[f"mlp.{kind}_proj.weight"].T) for kind in ("gate", "up"))
    share = sigmoid(gate)
    after = gradient.reshape(-1, hidden.shape[-1])
    on_gradient("mlp.down_proj", gate * share * up, after)
    inner = product(after, weights["mlp.down_proj.weight"])
    up_gradient = inner * gate * share
    gate_gradient = inner * up * share * (1 + gate * (1 - share))
    on_gradient("mlp.gate_proj", inputs, gate_gradient)
    on_gradient("mlp.up_proj", inputs, up_gradient)
    before = product(gate_gradient, weights["mlp.gate_proj.weight"])
    before = before + product(up_gradient, weights["mlp.up_proj.weight"])
    return norm_backward(hidden, gain, before.reshape(hidden.shape), config.norm_eps)


class _Attention:
    """The attention half of a layer, forward when made, backward when asked."""

    def __init__(self, weights: Weights, hidden: Array, config: ModelConfig) -> None:
        self._weights = weights
        self._hidden = hidden
        self._config = config
        B, L, D = hidden.shape
        self._gain = weights["input_layernorm.weight"]
        self._inputs = rms_norm(hidden, self._gain, config.norm_eps).reshape(-1, D)
        q, k, v = (self._heads(self._project(kind), B, L) for kind in "qkv")
        self._q = self._grouped(turned(q, config)) * config.head_dim**-0.5
        self._k, self._v = turned(k, config), v
        scores = product(self._q, self._k.swapaxes(2, 3)).reshape(B, -1, L, L)
        self._shares = causal_shares(scores).reshape(B, config.n_kv_heads, -1, L)
        mixed = product(self._shares, self._v).reshape(B, config.n_heads, L, -1)
        self.mixed = _flat(mixed)  # (B * L, heads * head_dim), what o_proj reads

    def backward(self, gradient: Array, on_gradient: OnGradient) -> Array:
        """The gradient at the layer's input by way of attention, given that at its output."""
        B, L, D = gradient.shape
        after = gradient.reshape(-1, D)
        on_gradient("self_attn.o_proj", self.mixed, after)
        mixed = product(after, self._weights["self_attn.o_proj.weight"])
        mixed = self._grouped(self._heads(mixed, B, L))  # (B, KV heads, group * L, head_dim)
        v = product(self._shares.swapaxes(2, 3), mixed)
        shares = product(mixed, self._v.swapaxes(2, 3))
        mean = library(shares).sum(shares * self._shares, axis=-1, keepdims=True)
        scores = self._shares * (shares - mean)
        q = product(scores, self._k) * self._config.head_dim**-0.5
        k = product(scores.swapaxes(2, 3), self._q)
        q = q.reshape(B, self._config.n_heads, L, -1)
        # A turn by the negative angle is the turn's transpose.
        outputs = {"q": turned(q, self._config, -1.0), "k": turned(k, self._config, -1.0), "v": v}
        before = 0.0 * self._inputs
        for kind, array in outputs.items():
            name = f"self_attn.{kind}_proj"
            on_gradient(name, self._inputs, _flat(array))
            before = before + product(_flat(array), self._weights[f"{name}.weight"])
        shaped = before.reshape(self._hidden.shape)
        return norm_backward(self._hidden, self._gain, shaped, self._config.norm_eps)

    def _project(self, kind: str) -> Array:
        return product(self._inputs, self._weights[f"self_attn.{kind}_proj.weight"].T)

    def _heads(self, flat: Array, B: int, L: int) -> Array:
        return flat.reshape(B, L, -1, self._config.head_dim).swapaxes(1, 2)  # (B, H, L, D)

    def _grouped(self, heads: Array) -> Array:
        B, _, _, size = heads.shape
        return heads.reshape(B, self._config.n_kv_heads, -1, size)


def norm_backward(hidden: Array, gain: Array, gradient: Array, epsilon: float) -> Array:
    """The gradient at the input of an RMSNorm."""
    xp = library(hidden)
    scaled = gradient * like(gain, hidden)
    inverse = 1 / xp.sqrt(xp.mean(hidden * hidden, axis=-1, keepdims=True) + epsilon)
    along = xp.mean(hidden * scaled, axis=-1, keepdims=True)
    return inverse * (scaled - hidden * (inverse * inverse) * along)


def _flat(heads: Array) -> Array:
    B, H, L, size = heads.shape
    return heads.swapaxes(1, 2).reshape(B * L, H * size)
