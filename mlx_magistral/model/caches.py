"""make_cache: the caches of a model, one a layer, at the width that is asked for."""

from collections.abc import Sequence
from typing import Protocol

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
