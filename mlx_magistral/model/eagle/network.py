"""The EAGLE-3 head in MLX: one llama layer that reads an embedding and a feature side by side.

A row stands for a position of the text: its feature, joined from what the target had in three of
its layers there, and the embedding of the id that comes next. It predicts the id after that one. A
chain goes on from its own output in place of a feature. Attributes carry the published names.
Source: EAGLE-3 (arXiv:2503.01840), SafeAILab/EAGLE, vllm-project/speculators.
"""

# mypy: allow-untyped-calls, no-warn-return-any
# because mlx's modules are annotated in part only.

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.embedding import Embedding
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.normalization import RMSNorm

from mlx_magistral.model.eagle.config import HeadConfig
from mlx_magistral.model.eagle.window import WindowCache
from mlx_magistral.model.transformer import MLP, Attention


class HeadAttention(Attention):
    """Attention that reads rows of twice the width."""

    def __init__(self, config: HeadConfig) -> None:
        layer = config.layer
        super().__init__(layer)
        width = 2 * layer.dim
        self.q_proj = Linear(width, layer.n_heads * layer.head_dim, bias=False)
        self.k_proj = Linear(width, layer.n_kv_heads * layer.head_dim, bias=False)
        self.v_proj = Linear(width, layer.n_kv_heads * layer.head_dim, bias=False)

    def read(self, joined: mx.array, cache: WindowCache, outputs: int) -> mx.array:
        """All rows (1, L, 2 dim) into the cache; what the last of them see (1, outputs, dim)."""
        k, v = self.row_keys(joined, cache.place), self.row_values(joined)
        cache.append(k, v)
        asking = joined[:, joined.shape[1] - outputs :]
        return self.out(cache.look(self.row_queries(asking, cache.place - outputs), self.scale))

    @property
    def scale(self) -> float:
        """What products of queries and keys are multiplied by."""
        return float(self.head_dim**-0.5)

    def row_queries(self, joined: mx.array, place: int) -> mx.array:
        """(B, n_heads, L, head_dim), turned by the places from ``place`` on."""
        return self._rotate(self.row_queries_unturned(joined), place)

    def row_queries_unturned(self, joined: mx.array) -> mx.array:
        """(B, n_heads, L, head_dim)."""
        return self._split(self.q_proj(joined), self.n_heads)

    def row_keys(self, joined: mx.array, place: int) -> mx.array:
        """(B, n_kv_heads, L, head_dim), likewise."""
        return self._rotate(self.row_keys_unturned(joined), place)

    def row_keys_unturned(self, joined: mx.array) -> mx.array:
        """(B, n_kv_heads, L, head_dim)."""
        return self._split(self.k_proj(joined), self.n_kv_heads)

    def turned(self, x: mx.array, places: mx.array) -> mx.array:
        """Queries or keys (B, heads, L, head_dim), those of each b from its place (B,) on."""
        return self._rotate(x, places)

    def row_values(self, joined: mx.array) -> mx.array:
        """(B, n_kv_heads, L, head_dim)."""
        return self._split(self.v_proj(joined), self.n_kv_heads)

    def out(self, seen: mx.array) -> mx.array:
        """(B, n_heads, L, head_dim) to (B, L, dim)."""
        return self.o_proj(self._joined(seen))


class HeadLayer(Module):
    """Attention from embedding and feature together, and the MLP; the feature is the residual."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        layer = config.layer
        self.self_attn = HeadAttention(config)
        self.mlp = MLP(layer)
        self.input_layernorm = RMSNorm(layer.dim, eps=layer.norm_eps)
        self.hidden_norm = RMSNorm(layer.dim, eps=layer.norm_eps)
        self.post_attention_layernorm = RMSNorm(layer.dim, eps=layer.norm_eps)
        self._norm_before_residual = config.norm_before_residual

    def read(
        self, embedded: mx.array, features: mx.array, cache: WindowCache, outputs: int = 1
    ) -> mx.array:
        """Rows (1, L, dim) of both into the cache; the last ones' output (1, outputs, dim)."""
        joined, residual = self.join(embedded, features)
        if not outputs:
            attention = self.self_attn
            cache.append(attention.row_keys(joined, cache.place), attention.row_values(joined))
            return residual[:, :0]
        seen = self.self_attn.read(joined, cache, outputs)
        return self.finish(residual[:, residual.shape[1] - outputs :] + seen)

    def join(self, embedded: mx.array, features: mx.array) -> tuple[mx.array, mx.array]:
        """What attention reads (..., 2 dim), and the residual (..., dim)."""
        normed = self.hidden_norm(features)
        joined = mx.concatenate([self.input_layernorm(embedded), normed], axis=-1)
        return joined, normed if self._norm_before_residual else features

    def finish(self, x: mx.array) -> mx.array:
        """The second half of the layer."""
        return x + self.mlp(self.post_attention_layernorm(x))


class Head(Module):
    """The parameters of a head. ``embed_tokens`` is its own, or else the target's is used."""

    def __init__(self, config: HeadConfig, *, has_embedding: bool, has_lm_head: bool) -> None:
        super().__init__()
        dim, eps, features = config.layer.dim, config.layer.norm_eps, len(config.aux_layers)
        self.fc = Linear(features * dim, dim, bias=False)
        self.layers = [HeadLayer(config)]
        self.norm = RMSNorm(dim, eps=eps)
        if has_embedding:
            self.embed_tokens = Embedding(config.layer.vocab_size, dim)
        if has_lm_head:
            self.lm_head = Linear(dim, config.draft_vocab_size, bias=False)
        if config.norm_before_fc:
            self.input_norm = RMSNorm(features * dim, eps=eps)
        if config.fc_norm:
            self.fc_norm = [RMSNorm(dim, eps=eps) for _ in range(features)]
        self._norm_output = config.norm_output

    def features(self, states: mx.array) -> mx.array:
        """The target's states (..., 3 dim) joined into one feature (..., dim)."""
        if "input_norm" in self:
            states = self.input_norm(states)
        if "fc_norm" in self:
            parts = mx.split(states, len(self.fc_norm), axis=-1)
            normed = [norm(part) for norm, part in zip(self.fc_norm, parts, strict=True)]
            states = mx.concatenate(normed, axis=-1)
        return self.fc(states)

    def fed_back(self, output: mx.array) -> mx.array:
        """What takes the place of a feature in the next row of a chain."""
        return self.norm(output) if self._norm_output else output

    def normalized(self, output: mx.array) -> mx.array:
        """The layer's output as the head over the vocabulary reads it."""
        return self.norm(output)
