"""Caches of rank 0's engine whose copies are told of, so that the followers' are made too.

What a pass does to a cache followers do in the pass, and a trim shows in the next one's offset.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from mlx_magistral.cluster.leader import Leader
from mlx_magistral.cluster.passes import CacheBook
from mlx_magistral.cluster.prefixes import LedPrefixes
from mlx_magistral.memory.runtime import ModelMemory
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.quantized_cache import QuantizedKVCache
from mlx_magistral.model.transformer import Transformer

OnCopy = Callable[[KVCache, KVCache, int], None]


class _ToldCache(KVCache):
    """The first layer's; it speaks for all layers."""

    on_copy: OnCopy

    def copy_from(self, other: KVCache, tokens: int) -> None:
        """See KVCache."""
        self.on_copy(self, other, tokens)
        super().copy_from(other, tokens)


class _ToldQuantizedCache(_ToldCache, QuantizedKVCache):
    """The same with quantized keys and values."""


@dataclass
class LedMemory(ModelMemory):
    """A ModelMemory whose caches followers mirror."""

    on_copy: OnCopy = lambda cache, other, tokens: None

    @classmethod
    def of(
        cls, memory: ModelMemory, held: ModelConfig, leader: Leader, book: CacheBook
    ) -> "LedMemory":
        """The same plan; ``held`` is the part of the model that is in this process."""

        def on_copy(cache: KVCache, other: KVCache, tokens: int) -> None:
            leader.tell(
                {
                    "op": "copy",
                    "cache": vars(book.state(cache)),
                    "source": vars(book.state(other)),
                    "tokens": tokens,
                }
            )

        content: dict[str, Any] = {each.name: getattr(memory, each.name) for each in fields(memory)}
        kept = memory.prefixes
        if kept is not None:
            content["prefixes"] = LedPrefixes(
                kept.fingerprint, kept.ram_bytes, tell=leader.tell, book=book
            )
        return cls(**{**content, "held": held, "on_copy": on_copy})

    def new_cache(self, model: Transformer) -> list[KVCache]:
        """See ModelMemory."""
        first, *others = super().new_cache(model)
        told: _ToldCache = (
            _ToldQuantizedCache(first.bits) if isinstance(first, QuantizedKVCache) else _ToldCache()
        )
        told.on_copy = self.on_copy
        return [told, *others]
