"""Mistral in MLX: a decoder with grouped-query attention, RoPE, RMSNorm and SwiGLU.

Attributes carry the HF checkpoint's names, so a weight's name is its path in the model. The model
holds weights only; the cache is the caller's, ours or mlx-lm's. Quantized layers take the place of
the float ones when weights are loaded (weights.py). Sources: Mistral 7B (arXiv:2310.06825), GQA
(arXiv:2305.13245), RoPE (arXiv:2104.09864), RMSNorm (arXiv:1910.07467), SwiGLU (arXiv:2002.05202).
"""

# mypy: allow-untyped-calls, no-warn-return-any
# because mlx's modules are annotated in part only.

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import mlx.core as mx

# From where they live: mlx.nn re-exports them by a star import that type checkers do not follow.
from mlx.nn.layers.base import Module
from mlx.nn.layers.embedding import Embedding
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.normalization import RMSNorm

from mlx_magistral.model import device
from mlx_magistral.model.attending import Mask, attend
from mlx_magistral.model.config import ModelConfig

AfterLayer = Callable[[mx.array], None]


class LayerCache(Protocol):
    """What the model asks of a layer's cache; KVCache and mlx-lm's KVCache and BatchKVCache do.

    One that has ``attend(q, k, v, scale=, mask=)`` is asked to append and attend by itself. One of
    a batch may have ``query_rows``, the rows of the pass that go on from its layer (all where it is
    None), and ``query_offset``, their positions.
    """

    @property
    def offset(self) -> Any:
        """Position of the next token: an int, or an array (B,) for rows of unequal length."""

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Append (B, n_kv_heads, L, head_dim) and return everything kept."""

    def make_mask(self, N: int, return_array: bool = False, window_size: int | None = None) -> Mask:
        """The attention mask for N further tokens."""


class Norm(RMSNorm):
    """RMSNorm in the dtype of what it is given, which a weight in 32 bits would else widen.

    So are the sums after attention and MLP, and keys and values: a folder may keep some tensors in
    32 bits, and the KV cache is planned in 16.
    """

    def __call__(self, x: mx.array) -> mx.array:
        return mx.fast.rms_norm(x, self.weight, self.eps).astype(x.dtype)


class Attention(Module):
    """Grouped-query attention: each key-value head serves n_heads / n_kv_heads query heads."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads = config.n_heads, config.n_kv_heads
        self.head_dim, self.rope_theta = config.head_dim, config.rope_theta
        # head_dim is its own number: 128 in Magistral, where dim / n_heads is 160.
        self.q_proj = Linear(config.dim, config.n_heads * config.head_dim, bias=False)
        self.k_proj = Linear(config.dim, config.n_kv_heads * config.head_dim, bias=False)
        self.v_proj = Linear(config.dim, config.n_kv_heads * config.head_dim, bias=False)
        self.o_proj = Linear(config.n_heads * config.head_dim, config.dim, bias=False)

    def __call__(self, x: mx.array, mask: Mask, cache: LayerCache | None) -> mx.array:
        querying = _querying(x, cache)
        q = self._split(self.q_proj(querying), self.n_heads)  # (B, n_heads, L, head_dim)
        k = self._split(self.k_proj(x).astype(x.dtype), self.n_kv_heads)
        v = self._split(self.v_proj(x).astype(x.dtype), self.n_kv_heads)
        offset = 0 if cache is None else cache.offset
        q, k = self._rotate(q, getattr(cache, "query_offset", offset)), self._rotate(k, offset)
        out = _attended(q, k, v, scale=self.head_dim**-0.5, mask=mask, cache=cache)
        return self.o_proj(self._joined(out))

    def _split(self, x: mx.array, heads: int) -> mx.array:
        B, L, _ = x.shape
        if L == 1:  # decode: the two axes change places where one of them is 1, and nothing moves
            return x.reshape(B, heads, 1, self.head_dim)
        return x.reshape(B, L, heads, self.head_dim).transpose(0, 2, 1, 3)

    def _joined(self, x: mx.array) -> mx.array:
        B, _, L, _ = x.shape
        return (x if L == 1 else x.transpose(0, 2, 1, 3)).reshape(B, L, -1)

    def _rotate(self, x: mx.array, offset: Any) -> mx.array:
        # traditional=False turns row k with row k + head_dim / 2: the HF order of q_proj, k_proj.
        return mx.fast.rope(
            x, self.head_dim, traditional=False, base=self.rope_theta, scale=1.0, offset=offset
        )


class MLP(Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.dim, config.hidden_dim, bias=False)
        self.up_proj = Linear(config.dim, config.hidden_dim, bias=False)
        self.down_proj = Linear(config.hidden_dim, config.dim, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        # Compiled, on a CPU it would start a C++ compiler at the first token.
        activate = _fused_swiglu() if device.is_gpu() else _swiglu
        return self.down_proj(activate(self.gate_proj(x), self.up_proj(x)))


class Layer(Module):
    """Attention and MLP, each on a normalized input and added to the residual."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = Norm(config.dim, eps=config.norm_eps)
        self.post_attention_layernorm = Norm(config.dim, eps=config.norm_eps)

    def __call__(self, x: mx.array, mask: Mask, cache: LayerCache | None) -> mx.array:
        attended = self.self_attn(self.input_layernorm(x), mask, cache)
        x = _querying(x, cache) + attended.astype(x.dtype)
        return x + self.mlp(self.post_attention_layernorm(x)).astype(x.dtype)


class Decoder(Module):
    """Embedding, layers and the last norm: the ``model.`` part of HF's names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.dim)
        self.layers = [Layer(config) for _ in range(config.n_layers)]
        self.norm = Norm(config.dim, eps=config.norm_eps)

    def __call__(
        self,
        tokens: mx.array,
        cache: Sequence[LayerCache] | None,
        after_layer: AfterLayer | None = None,
    ) -> mx.array:
        return self.norm(self.through(self.embed_tokens(tokens), cache, after_layer))

    def through(
        self,
        x: mx.array,
        cache: Sequence[LayerCache] | None,
        after_layer: AfterLayer | None = None,
    ) -> mx.array:
        """Hidden states (B, L, dim) through all layers, not normalized."""
        caches: Sequence[LayerCache | None] = cache or [None] * len(self.layers)
        mask = _mask(x.shape[1], caches[0])
        for layer, layer_cache in zip(self.layers, caches, strict=True):
            x = layer(x, mask, layer_cache)
            if after_layer is not None:
                after_layer(x)
        return x


class Transformer(Module):
    """The language model; its parameters are placeholders until weights are loaded.

    Calling it is ``logits(hidden(tokens, cache))``. A prefill that needs no logits, or those of the
    last position alone, calls the two itself and spares the head's 131,072 columns.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.model = Decoder(config)
        if not config.tie_word_embeddings:
            self.lm_head = Linear(config.dim, config.vocab_size, bias=False)

    def __call__(self, tokens: mx.array, cache: Sequence[LayerCache] | None = None) -> mx.array:
        """Tokens (B, L) to logits (B, L, vocab_size); fills ``cache``, one entry a layer."""
        return self.logits(self.hidden(tokens, cache))

    def hidden(
        self,
        tokens: mx.array,
        cache: Sequence[LayerCache] | None = None,
        after_layer: AfterLayer | None = None,
    ) -> mx.array:
        """Tokens (B, L) to normalized hidden states (B, L, dim); fills ``cache``.

        ``after_layer`` is given what goes on from each layer (B, L, dim), not evaluated.
        """
        return self.model(tokens, cache, after_layer)

    def logits(self, hidden: mx.array) -> mx.array:
        """Hidden states (..., dim) to logits (..., vocab_size)."""
        if "lm_head" in self:
            return self.lm_head(hidden)
        return self.model.embed_tokens.as_linear(hidden)

    @property
    def layers(self) -> list[Layer]:
        """The decoder layers; mlx-lm makes its caches and places its adapters by this."""
        return self.model.layers


def _swiglu(gate: mx.array, up: mx.array) -> mx.array:
    return gate * mx.sigmoid(gate) * up


@cache
def _fused_swiglu() -> Callable[[mx.array, mx.array], mx.array]:
    return mx.compile(_swiglu, shapeless=True)


def _querying(x: mx.array, cache: LayerCache | None) -> mx.array:
    """The rows of x (B, L, dim) that go on from a layer: all but where a batch says otherwise."""
    rows = getattr(cache, "query_rows", None)
    return x if rows is None else x[rows]


def _attended(
    q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Mask, cache: LayerCache | None
) -> mx.array:
    """Attention by the cache's own way where it has one, else by the fused kernel."""
    by_cache = getattr(cache, "attend", None)
    if by_cache is not None:
        return by_cache(q, k, v, scale=scale, mask=mask)
    if cache is not None:
        k, v = cache.update_and_fetch(k, v)
    return attend(q, k, v, scale=scale, mask=mask)


def _mask(length: int, cache: LayerCache | None) -> Mask:
    """One mask for all layers, which hold the same tokens."""
    if cache is None:
        return None if length == 1 else "causal"
    return cache.make_mask(length, return_array=False, window_size=None)
