"""Passes as followers are told of them: which caches, how many tokens, and where each one is.

Ids are not in it: they may not be drawn yet, and go from rank to rank inside the computation.
"""

import weakref
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mlx_magistral.errors import ClusterError
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.quantized_cache import QuantizedKVCache
from mlx_magistral.model.ragged import RaggedCache, ragged_caches


@dataclass(frozen=True)
class CacheState:
    """A reply's cache as the leader has it: its number, tokens and bits."""

    key: int
    offset: int
    bits: int


@dataclass(frozen=True)
class Pass:
    """Tokens of ``shape`` go through the model; ``lengths`` are each cache's rows in a batch.

    ``wanted`` rows of each go on from the last layer, all where it is None. ``dropped`` caches are
    gone.
    """

    shape: list[int]
    caches: list[CacheState]
    lengths: list[int] | None = None
    wanted: list[int] | None = None
    dropped: list[int] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As it goes over the wire."""
        return {"op": "pass", **asdict(self)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Pass":
        """The inverse of to_dict."""
        caches = [CacheState(**each) for each in content["caches"]]
        fields = {name: content[name] for name in ("shape", "lengths", "wanted", "dropped")}
        return cls(caches=caches, **fields)


class CacheBook:
    """The leader's numbers of caches, by the first layer's object; forgets those that are gone."""

    def __init__(self) -> None:
        self._keys: weakref.WeakKeyDictionary[KVCache, int] = weakref.WeakKeyDictionary()
        self._count = 0
        self._dropped: list[int] = []

    def state(self, layer: KVCache) -> CacheState:
        """What followers are told of a cache."""
        key = self._keys.get(layer)
        if key is None:
            key = self._keys[layer] = self._count
            self._count += 1
            weakref.finalize(layer, self._dropped.append, key)
        bits = layer.bits if isinstance(layer, QuantizedKVCache) else 16
        return CacheState(key, layer.offset, bits)

    def describe(self, shape: Sequence[int], cache: Sequence[Any] | None) -> Pass:
        """The pass of so many tokens with the model's caches, of one sequence or of a batch."""
        dropped, self._dropped[:] = list(self._dropped), []
        if not cache:
            return Pass(list(shape), [], dropped=dropped)
        first, last = cache[0], cache[-1]
        if not isinstance(first, RaggedCache):
            return Pass(list(shape), [self.state(first)], dropped=dropped)
        caches = [self.state(layer) for layer in first.caches]
        wanted = None if last.wanted is None else list(last.wanted)
        return Pass(list(shape), caches, list(first.lengths), wanted, dropped)


class CacheShelf:
    """A follower's caches by the leader's numbers, each brought to where the leader's is."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._caches: dict[int, list[KVCache]] = {}

    def at(self, state: CacheState) -> list[KVCache]:
        """The cache, made where it is not known, and trimmed to the leader's tokens."""
        layers = self._caches.get(state.key)
        if layers is None:
            layers = self._caches[state.key] = make_cache(self._config, state.bits)
        ahead = layers[0].offset - state.offset
        if ahead < 0:
            raise ClusterError(
                f"has {layers[0].offset} tokens in a cache where rank 0 has {state.offset}"
            )
        for layer in layers:
            layer.trim(ahead)
        return layers

    def for_pass(self, wanted: Pass) -> Sequence[Any] | None:
        """What the model takes for this pass."""
        self.drop(wanted.dropped)
        if not wanted.caches:
            return None
        sequences = [self.at(state) for state in wanted.caches]
        if wanted.lengths is None:
            return sequences[0]
        rows = wanted.wanted or wanted.lengths
        return ragged_caches(sequences, wanted.lengths, rows)

    def drop(self, keys: Sequence[int]) -> None:
        """Forget caches."""
        for key in keys:
            self._caches.pop(key, None)
