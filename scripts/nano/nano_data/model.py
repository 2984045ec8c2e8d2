"""nano in PyTorch: Magistral's architecture and tensor names, RoPE on interleaved pairs.

The native checkpoint is these parameters as they are. One shared prefix (the official system prompt)
is computed once a batch; the rows attend to its keys and values, so it costs next to nothing.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class NanoConfig:
    """The keys of params.json."""

    dim: int = 128
    n_layers: int = 4
    head_dim: int = 64
    hidden_dim: int = 384
    n_heads: int = 4
    n_kv_heads: int = 2
    rope_theta: float = 1e9
    norm_eps: float = 1e-5
    vocab_size: int = 1024
    max_position_embeddings: int = 2048


class KeyValue(NamedTuple):
    """Keys and values of one layer, [B, n_kv_heads, L, head_dim]."""

    keys: Tensor
    values: Tensor


class Attention(nn.Module):
    """Grouped-query attention; `past` comes before the keys of these tokens.

    Written out, because PyTorch's fused attention is three times slower on a CPU at these lengths.
    """

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.config = config
        queries, kv = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.wq = nn.Linear(config.dim, queries, bias=False)
        self.wk = nn.Linear(config.dim, kv, bias=False)
        self.wv = nn.Linear(config.dim, kv, bias=False)
        self.wo = nn.Linear(queries, config.dim, bias=False)

    def forward(
        self, x: Tensor, rope: Tensor, mask: Tensor, past: KeyValue | None
    ) -> tuple[Tensor, KeyValue]:
        B, L, _ = x.shape
        D = self.config.head_dim
        q = _rotate(self.wq(x).view(B, L, -1, D), rope).transpose(1, 2)
        k = _rotate(self.wk(x).view(B, L, -1, D), rope).transpose(1, 2)
        v = self.wv(x).view(B, L, -1, D).transpose(1, 2)
        if past is not None:
            k = torch.cat([past.keys.expand(B, -1, -1, -1), k], dim=2)
            v = torch.cat([past.values.expand(B, -1, -1, -1), v], dim=2)
        G, S = self.config.n_kv_heads, k.shape[2]
        q = q.reshape(B, G, -1, D)  # query heads of one KV head side by side: [B, G, H/G * L, D]
        scores = torch.matmul(q, k.transpose(-1, -2)).view(B, G, -1, L, S) * D**-0.5 + mask
        weights = torch.softmax(scores, dim=-1).to(v.dtype).view(B, G, -1, S)
        out = torch.matmul(weights, v).view(B, -1, L, D)
        return self.wo(out.transpose(1, 2).reshape(B, L, -1)), KeyValue(k, v)


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x)."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.w2 = nn.Linear(config.hidden_dim, config.dim, bias=False)
        self.w3 = nn.Linear(config.dim, config.hidden_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.w2(F.silu(self.w1(x)) * self.w3(x))
        return out


class Block(nn.Module):
    """Pre-norm attention and feed-forward."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config)
        self.attention_norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.ffn_norm = nn.RMSNorm(config.dim, eps=config.norm_eps)

    def forward(
        self, x: Tensor, rope: Tensor, mask: Tensor, past: KeyValue | None
    ) -> tuple[Tensor, KeyValue]:
        out, kept = self.attention(self.attention_norm(x), rope, mask, past)
        x = x + out
        return x + self.feed_forward(self.ffn_norm(x)), kept


class Nano(nn.Module):
    """Token ids -> hidden states; `output` turns the wanted ones into logits."""

    rope: Tensor

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.config = config
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.dim)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.output = nn.Linear(config.dim, config.vocab_size, bias=False)
        pairs = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
        angles = torch.outer(torch.arange(8192.0, dtype=torch.float64), config.rope_theta**-pairs)
        rope = torch.stack([angles.cos(), angles.sin()], dim=-1).float()  # [positions, D/2, 2]
        self.register_buffer("rope", rope, persistent=False)
        self._initialise()

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        mask: Tensor,
        past: list[KeyValue] | None = None,
    ) -> tuple[Tensor, list[KeyValue]]:
        """tokens, positions [B, L]; mask is added to the scores, [B or 1, 1, 1, L, past + L]."""
        x = self.tok_embeddings(tokens)
        rope = self.rope[positions].unsqueeze(2)  # [B, L, 1, D/2, 2]
        kept = []
        for index, layer in enumerate(self.layers):
            x, key_value = layer(x, rope, mask, past[index] if past else None)
            kept.append(key_value)
        return self.norm(x), kept

    def prefix(self, tokens: Tensor) -> list[KeyValue]:
        """Keys and values of the shared prefix, [1, P] ids at positions 0..P-1."""
        length = tokens.shape[1]
        positions = torch.arange(length).unsqueeze(0)
        kept: list[KeyValue] = self(tokens, positions, causal_mask(length, 0))[1]
        return kept

    def _initialise(self) -> None:
        """Projections into the residual stream start small, the head at a quiet guess."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = parameter.shape[1] ** -0.5
                if name.endswith(("wo.weight", "w2.weight")):
                    scale *= (2 * self.config.n_layers) ** -0.5
                if name == "output.weight":
                    scale *= 0.1
                if name == "tok_embeddings.weight":
                    scale = 0.5
                nn.init.normal_(parameter, std=scale)


def causal_mask(length: int, past: int) -> Tensor:
    """[1, 1, 1, length, past + length]: zero where a position may look, else minus infinity."""
    hidden = torch.full((length, length), float("-inf")).triu(1)
    return F.pad(hidden, (past, 0))[None, None, None].bfloat16()


def _rotate(x: Tensor, rope: Tensor) -> Tensor:
    """x [B, L, H, D]: pairs (0,1), (2,3), ... each turned by its angle."""
    pairs = x.float().view(*x.shape[:-1], -1, 2)  # [B, L, H, D/2, 2]
    cos, sin = rope[..., 0], rope[..., 1]
    a, b = pairs[..., 0], pairs[..., 1]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2).to(x.dtype)
