"""LedPrefixes: rank 0's memory of earlier prompts, of which every follower keeps its own part.

Followers do what is done here in the same order and with the same budget, counted in tokens, so
that they keep and drop the same prompts. In RAM alone: disks of several machines would differ.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlx_magistral.cluster.passes import CacheBook, CacheShelf, CacheState
from mlx_magistral.cluster.wire import Message
from mlx_magistral.errors import ClusterError
from mlx_magistral.memory.prefixes.cache import PrefixCache
from mlx_magistral.model.cache import KVCache

Tell = Callable[[Message], None]


@dataclass
class LedPrefixes(PrefixCache):
    """A PrefixCache that tells followers of every change."""

    tell: Tell = lambda message: None
    book: CacheBook | None = None
    _is_telling: bool = False  # what a call does by calling another is part of it

    def restore(
        self, tokens: Sequence[int], cache: Sequence[KVCache], ends: Sequence[int] | None = None
    ) -> int:
        """See PrefixCache."""
        at = self._state(cache)
        length = super().restore(tokens, cache, ends)
        if length:
            known = {"tokens": list(tokens), "ends": _listed(ends), "length": length}
            self.tell({"op": "restore", "cache": at, **known})
        return length

    def store(
        self,
        tokens: Sequence[int],
        cache: Sequence[KVCache],
        ends: Sequence[int] | None = None,
        *,
        is_pinned: bool = False,
    ) -> None:
        """See PrefixCache."""
        kept = {"tokens": list(tokens), "ends": _listed(ends), "is_pinned": is_pinned}
        at = self._state(cache)
        self.tell({"op": "store", "cache": at, "ram_bytes": self.ram_bytes, **kept})
        self._is_telling = True
        try:
            super().store(tokens, cache, ends, is_pinned=is_pinned)
        finally:
            self._is_telling = False

    def shrink(self, nbytes: int) -> None:
        """See PrefixCache."""
        if not self._is_telling and self.nbytes > nbytes:
            self.tell({"op": "shrink", "nbytes": nbytes})
        super().shrink(nbytes)

    def _state(self, cache: Sequence[KVCache]) -> dict[str, Any]:
        assert self.book is not None
        return asdict(self.book.state(cache[0]))


class FollowedPrefixes:
    """A follower's part; a token takes ``layers`` of the ``leader_layers`` that rank 0 has."""

    def __init__(self, shelf: CacheShelf, layers: int, leader_layers: int) -> None:
        self._shelf = shelf
        self._layers, self._leader_layers = layers, leader_layers
        self._kept = PrefixCache("", 0)

    def do(self, message: Message) -> None:
        """What rank 0 did. Raises ClusterError where it found something else."""
        if message["op"] == "shrink":
            self._kept.shrink(self._own(message["nbytes"]))
            return
        cache = self._shelf.at(CacheState(**message["cache"]))
        tokens, ends = message["tokens"], message["ends"]
        if message["op"] == "store":
            self._kept.ram_bytes = self._own(message["ram_bytes"])
            self._kept.store(tokens, cache, ends, is_pinned=message["is_pinned"])
            return
        length = self._kept.restore(tokens, cache, ends)
        if length != message["length"]:
            raise ClusterError(
                f"knows {length} tokens of a prompt where rank 0 knows {message['length']}"
            )

    def _own(self, nbytes: int) -> int:
        return nbytes * self._layers // self._leader_layers


def _listed(ends: Sequence[int] | None) -> list[int] | None:
    return None if ends is None else list(ends)
