"""PrefixDisk: KV prefixes as files that survive a restart and may be shared by processes.

An entry is NAME.safetensors with the arrays and NAME.json, its manifest, which is written last and
renamed into place: an entry without a whole manifest does not exist. The manifest's time of change
is when the entry was last used. Any process may remove an entry; one that is gone is only a miss.
"""

import hashlib
import json
import os
import re
import shutil
import time
import uuid
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import mlx.core as mx

from mlx_magistral.errors import PrefixCacheError
from mlx_magistral.memory.prefixes.index import FORMAT, DiskEntry, PrefixIndex
from mlx_magistral.memory.prefixes.match import Wanted

FOLDER_VARIABLE = "MLX_MAGISTRAL_CACHE"
DEFAULT_DISK_BYTES = 4_000_000_000
# The arrays of each layer, as KVCache.export gives them.
Layers = list[tuple[mx.array, ...]]

# A file that belongs to no entry after this time was left by a process that died.
_ABANDONED_S = 3600
_OWN_NAME = re.compile(r"(draft-)?[0-9a-f]{32}")
_READ_BYTES = 1 << 20


def default_folder() -> Path:
    """The environment's folder, else one under ~/.cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path.home() / ".cache" / "mlx-magistral" / "prefixes"


@dataclass(frozen=True)
class PrefixDisk:
    """At most ``budget_bytes`` in ``folder``, which is made at the first save."""

    folder: Path
    budget_bytes: int = DEFAULT_DISK_BYTES
    _index: PrefixIndex = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", PrefixIndex(self.folder))

    def entries(self) -> list[DiskEntry]:
        """All whole entries, least recently used first; damaged ones are removed."""
        return self._index.listed()

    def take_dropped(self) -> int:
        """How many entries of an earlier version were removed since the last call."""
        dropped, self._index.dropped = self._index.dropped, 0
        return dropped

    def load(self, fingerprint: str, wanted: Wanted, at_least: int) -> tuple[Layers | None, int]:
        """The arrays of the entry that spares most ids, more than ``at_least``, and how many."""
        shared = [
            (wanted.length(entry.tokens), entry)
            for entry in self._index.entries()
            if entry.fingerprint == fingerprint
        ]
        for length, entry in sorted(shared, key=lambda pair: pair[0], reverse=True):
            if length <= at_least:
                break
            # As it is now: another process may have written it anew since it was read.
            current = self._index.find(entry.name)
            layers = None if current is None else self._arrays(current)
            if layers is not None:
                return layers, length
        return None, 0

    def save(
        self, fingerprint: str, tokens: Sequence[int], layers: Layers, *, is_pinned: bool = False
    ) -> None:
        """Write an entry, then remove the least recently used ones over the budget.

        Raises PrefixCacheError where the disk refuses; nothing is left of the entry then.
        """
        nbytes = sum(array.nbytes for arrays in layers for array in arrays)
        name = hashlib.sha256(f"{fingerprint}{list(tokens)}".encode()).hexdigest()[:32]
        if nbytes > self.budget_bytes or self._index.find(name) is not None:
            return
        draft = self.folder / f"draft-{uuid.uuid4().hex}.safetensors"
        try:
            # For nobody else's eyes: manifests hold the ids of prompts.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < nbytes + nbytes // 10:
                raise PrefixCacheError(
                    f"The disk of {self.folder} has no room for a prefix; prompts are computed "
                    f"anew next time. Free some, or set {FOLDER_VARIABLE} to another folder."
                )
            mx.save_safetensors(
                str(draft),
                {
                    f"{i}.{j}": array
                    for i, each in enumerate(layers)
                    for j, array in enumerate(each)
                },
            )
            if draft.stat().st_size < nbytes:
                raise PrefixCacheError(f"{draft} was not written whole. Is the disk full?")
            manifest = {
                "format": FORMAT,
                "fingerprint": fingerprint,
                "tokens": list(tokens),
                "nbytes": draft.stat().st_size,
                "checksum": _checksum(draft),
                "is_pinned": is_pinned,
            }
            manifest_draft = draft.with_suffix(".draft")
            manifest_draft.write_text(json.dumps(manifest))
            draft.replace(self.folder / f"{name}.safetensors")
            manifest_draft.replace(self.folder / f"{name}.json")
            self._evict()
        except (OSError, RuntimeError) as error:  # mlx raises the latter for a file it cannot open
            raise PrefixCacheError(
                f"The prefix cache {self.folder} cannot be written ({error}); prompts are "
                f"computed anew next time. Set {FOLDER_VARIABLE} to another folder."
            ) from error
        finally:
            for left in (draft, draft.with_suffix(".draft")):
                with suppress(OSError):  # renamed, never made, or a folder that takes nothing
                    left.unlink()

    def clear(self) -> int:
        """Remove everything; returns the bytes of the entries. Raises PrefixCacheError."""
        freed = self.remove(self.entries())
        try:
            for path in self._own_files():
                path.unlink(missing_ok=True)
        except OSError as error:
            raise PrefixCacheError(
                f"The prefix cache {self.folder} cannot be cleared: {error.strerror}."
            ) from error
        return freed

    def remove(self, entries: Sequence[DiskEntry]) -> int:
        """Remove these; returns their bytes."""
        for entry in entries:
            self._index.remove(entry.name)
        return sum(entry.nbytes for entry in entries)

    def _own_files(self) -> list[Path]:
        """Files by the names that are given here; others in the folder are somebody else's."""
        try:
            return [path for path in self.folder.iterdir() if _OWN_NAME.fullmatch(path.stem)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _evict(self) -> None:
        entries = self.entries()
        total = sum(entry.nbytes for entry in entries)
        # The budget holds for pinned entries too: the latest, in half of it, only go last.
        protected, room = set(), self.budget_bytes // 2
        for entry in reversed(entries):
            if entry.is_pinned and entry.nbytes <= room:
                protected.add(entry.name)
                room -= entry.nbytes
        for entry in sorted(entries, key=lambda entry: entry.name in protected):
            if total <= self.budget_bytes:
                break
            self._index.remove(entry.name)
            total -= entry.nbytes
        known = {entry.name for entry in entries}
        for path in self._own_files():
            if path.stem not in known and _age_s(path) > _ABANDONED_S:
                path.unlink(missing_ok=True)

    def _arrays(self, entry: DiskEntry) -> Layers | None:
        """Checked arrays; a damaged entry is removed."""
        file = self.folder / f"{entry.name}.safetensors"
        try:
            if _checksum(file) != entry.checksum:
                self._index.remove(entry.name)
                return None
            stored = mx.load(str(file), stream=mx.cpu)
            os.utime(self.folder / f"{entry.name}.json")
        except (OSError, RuntimeError):
            return None
        assert isinstance(stored, dict)
        layers: Layers = []
        while f"{len(layers)}.0" in stored:
            prefix = f"{len(layers)}."
            count = sum(name.startswith(prefix) for name in stored)
            layers.append(tuple(stored[f"{prefix}{part}"] for part in range(count)))
        mx.eval(layers)
        return layers


def _checksum(file: Path) -> int:
    """CRC-32: finds damage, at gigabytes a second; against forgery it does nothing."""
    value = 0
    with file.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            value = zlib.crc32(block, value)
    return value


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
