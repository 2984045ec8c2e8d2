"""PrefixCache: the KV state of prompts seen before, found by their longest common ids.

One cache belongs to one model and one way of computing, which its ``fingerprint`` names. Entries
live in RAM under a byte budget, and on disk where a PrefixDisk is given (disk.py).
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import mlx.core as mx

from mlx_magistral.errors import PrefixCacheError
from mlx_magistral.memory.prefixes.disk import PrefixDisk
from mlx_magistral.memory.prefixes.layer_file import Layers
from mlx_magistral.memory.prefixes.match import Wanted, last_end, packed
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.caches import token_bytes


@dataclass(eq=False)  # one entry is another only if it is the same object
class _Entry:
    """The first ``len(tokens)`` ids of some prompt and what attention keeps of them."""

    tokens: "array[int]"
    layers: Layers
    is_pinned: bool

    @cached_property
    def nbytes(self) -> int:
        return sum(array.nbytes for arrays in self.layers for array in arrays)


@dataclass
class PrefixCache:
    """Least recently used entries go first, pinned ones last. ``notes`` says what went wrong.

    Holds at most ``ram_bytes``, and pinned entries in half of it, beside what a reply continues
    from; not for several threads at once.
    """

    fingerprint: str
    ram_bytes: int
    disk: PrefixDisk | None = None
    notes: list[str] = field(default_factory=list)
    _entries: list[_Entry] = field(default_factory=list)  # least recently used first

    @property
    def nbytes(self) -> int:
        """Bytes held in RAM."""
        return sum(entry.nbytes for entry in self._entries)

    def known(self, tokens: Sequence[int], ends: Sequence[int] | None = None) -> int:
        """How many ids ``restore`` would find in RAM."""
        wanted = Wanted(packed(tokens), ends)
        return max((wanted.length(each.tokens) for each in self._entries), default=0)

    def restore(
        self,
        tokens: Sequence[int],
        cache: Sequence[KVCache],
        ends: Sequence[int] | None = None,
    ) -> int:
        """Fill an empty cache with the longest prefix known; returns how many ids that is.

        At least one id is left for the model, whose logits the caller needs. With ``ends``, where
        the passes over these ids end, only what those passes would have computed is taken.
        """
        wanted = Wanted(packed(tokens), ends)
        entry = max(self._entries, key=lambda each: wanted.length(each.tokens), default=None)
        length = 0 if entry is None else wanted.length(entry.tokens)
        layers = self._from_disk(wanted, length)
        if layers is None and entry is not None and length:
            self._entries.remove(entry)
            self._entries.append(entry)
            layers = _first(entry.layers, length)
        if layers is None:
            return 0
        for layer, arrays in zip(cache, layers, strict=True):
            layer.restore(arrays)
        return layers[0][0].shape[2]

    def store(
        self,
        tokens: Sequence[int],
        cache: Sequence[KVCache],
        ends: Sequence[int] | None = None,
        *,
        is_pinned: bool = False,
    ) -> None:
        """Keep a copy of the ids that the cache holds, or of as many as the RAM budget takes.

        With ``ends`` what is kept ends with a pass, as the tokens given do.
        """
        kept = packed(tokens[: cache[0].offset])
        room = self.ram_bytes // 2 if is_pinned else self.ram_bytes - self._pinned_bytes()
        fitting = int(max(room, 0) / token_bytes(cache)) if kept else 0
        if fitting < len(kept):
            kept = kept[: fitting if ends is None else last_end(ends, fitting)]
        if kept:
            self._keep(kept, cache, room, is_pinned)

    def save(
        self,
        tokens: Sequence[int],
        cache: Sequence[KVCache] = (),
        ends: Sequence[int] | None = None,
        *,
        is_pinned: bool = False,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Write ids to disk, from RAM or else from a cache that holds them; nothing is copied.

        ``ends`` is as in ``store``. A disk that cannot be written to is a note, not an error.
        False where ``is_wanted`` ended it.
        """
        layers = self._held(packed(tokens), cache)
        if self.disk is None or not layers:
            return True
        kept = tokens[: layers[0][0].shape[2]]
        try:
            return self.disk.save(
                self.fingerprint, kept, layers, ends=ends, is_pinned=is_pinned, is_wanted=is_wanted
            )
        except PrefixCacheError as error:
            if not self.notes:  # one line, though the head and the prompt both failed
                self.notes.append(str(error))
            return True

    def shrink(self, nbytes: int) -> None:
        """Drop the oldest entries until at most ``nbytes`` are held, pinned ones last."""
        held = self.nbytes
        if held <= nbytes:
            return
        for each in sorted(self._entries, key=lambda each: each.is_pinned):
            self._entries.remove(each)
            held -= each.nbytes
            if held <= nbytes:
                return

    def _held(self, tokens: "array[int]", cache: Sequence[KVCache]) -> Layers:
        """Arrays that begin with these tokens, or with those of them that the cache holds."""
        for each in self._entries:
            if each.tokens[: len(tokens)] == tokens:
                return each.layers
        count = min(len(tokens), cache[0].offset) if cache else 0
        return _first([layer.state for layer in cache], count) if count else []

    def _keep(
        self, tokens: "array[int]", cache: Sequence[KVCache], room: int, is_pinned: bool
    ) -> None:
        for each in self._entries:
            if each.tokens[: len(tokens)] == tokens and (each.is_pinned or not is_pinned):
                self._entries.remove(each)
                self._entries.append(each)
                return
        # What the longer entry holds too goes, then the oldest, before anything is copied.
        self._entries = [
            each
            for each in self._entries
            if tokens[: len(each.tokens)] != each.tokens or (each.is_pinned and not is_pinned)
        ]
        needed = int(token_bytes(cache) * len(tokens))
        if is_pinned:
            self._unpin(room - needed)
        self.shrink(self.ram_bytes - needed)
        self._entries.append(_Entry(tokens, _copy(cache, len(tokens)), is_pinned))

    def _pinned_bytes(self) -> int:
        return sum(each.nbytes for each in self._entries if each.is_pinned)

    def _unpin(self, nbytes: int) -> None:
        """Let the oldest pinned entries go as any other until ``nbytes`` are pinned."""
        for each in self._entries:
            if self._pinned_bytes() <= nbytes:
                return
            each.is_pinned = False

    def _from_disk(self, wanted: Wanted, at_least: int) -> Layers | None:
        """What the disk has where that is longer than ``at_least`` ids."""
        if self.disk is None:
            return None
        layers, length = self.disk.load(self.fingerprint, wanted, at_least)
        if dropped := self.disk.take_dropped():
            self.notes.append(
                f"{dropped} kept prompts of an earlier version were dropped; they are computed "
                "once more."
            )
        return None if layers is None else _first(layers, length)


def _copy(cache: Sequence[KVCache], tokens: int) -> Layers:
    """Started here, and not waited for: whoever decodes goes on meanwhile."""
    layers = [layer.export(tokens) for layer in cache]
    mx.async_eval(layers)  # type: ignore[no-untyped-call]
    return layers


def _first(layers: Layers, tokens: int) -> Layers:
    return [tuple(array[..., :tokens, :] for array in arrays) for arrays in layers]
