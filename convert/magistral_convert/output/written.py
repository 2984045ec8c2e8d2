"""The result as far as it is written: values of its tensors exactly as they are stored."""

from pathlib import Path

import mlx.core as mx
import numpy as np

from magistral_convert.rounding.quantize import dequantized
from magistral_convert.sources.layer_weights import TokenArray

from .plan import ConversionPlan


class WrittenTensors:
    """Reads finished shards in ``folder``; the tensors of the one under way are kept in memory."""

    def __init__(self, folder: Path, plan: ConversionPlan) -> None:
        self._places = {
            tensor.name: (folder / shard.file, tensor)
            for shard in plan.shards
            for tensor in shard.tensors
        }
        self._blocks: dict[str, list[tuple[mx.array, ...]]] = {}

    def add(self, tensor: str, parts: tuple[mx.array, ...]) -> None:
        """Take the next rows of a tensor, as they go into the shard under way."""
        self._blocks.setdefault(tensor, []).append(parts)

    def finish_shard(self) -> None:
        """Forget what can be read from the disk now."""
        self._blocks = {}

    def read(self, tensor: str) -> mx.array:
        """Values of a matrix (R, C) in float32."""
        return dequantized(self._parts(tensor), self._places[tensor][1].format)

    def embed(self, tokens: TokenArray) -> mx.array:
        """Hidden states (B, L, D) in float32 of token ids (B, L)."""
        name = "model.embed_tokens.weight"
        ids, places = np.unique(tokens, return_inverse=True)
        rows = mx.array(ids)
        parts = tuple(part[rows] for part in self._parts(name))
        return dequantized(parts, self._places[name][1].format)[
            mx.array(places.reshape(tokens.shape))
        ]

    def _parts(self, tensor: str) -> tuple[mx.array, ...]:
        blocks = self._blocks.get(tensor)
        if blocks is not None:
            return tuple(mx.concatenate(list(parts)) for parts in zip(*blocks, strict=True))
        path, planned = self._places[tensor]
        stored = mx.load(str(path), stream=mx.cpu)
        assert isinstance(stored, dict)
        return tuple(stored[part.name] for part in planned.parts)
