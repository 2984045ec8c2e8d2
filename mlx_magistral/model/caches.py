"""make_cache: the caches of a model, one a layer, at the width that is asked for."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.quantized_cache import QuantizedKVCache


class HasLayers(Protocol):
    """A model, of which only the number of layers matters here."""

    @property
    def layers(self) -> Sequence[object]:
        """The decoder layers."""


def make_cache(source: ModelConfig | HasLayers, kv_bits: int = 16) -> list[KVCache]:
    """An empty cache for each layer of a model, or of the model a config describes.

    ``kv_bits`` is 16 (the model's own dtype), 8 or 4.
    """
    count = source.n_layers if isinstance(source, ModelConfig) else len(source.layers)
    if kv_bits == 16:
        return [KVCache() for _ in range(count)]
    return [QuantizedKVCache(kv_bits) for _ in range(count)]


def reserve(caches: Iterable[Any], tokens: int) -> None:
    """Let those of ours have room for so many further tokens with the next one."""
    for cache in caches:
        if isinstance(cache, KVCache):
            cache.reserve(cache.offset + tokens)


def token_bytes(caches: Iterable[Any]) -> float:
    """Bytes of one token in all layers; 0 before the first."""
    arrays = (array for cache in caches if isinstance(cache, KVCache) for array in cache.state)
    return sum(array.nbytes / array.shape[2] for array in arrays)
