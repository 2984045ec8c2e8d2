"""PrefixDisk: KV prefixes as files that survive a restart and may be shared by processes.

An entry is NAME.safetensors with the arrays and NAME.json, its manifest, which is written last and
renamed into place: an entry without a whole manifest does not exist. It holds what comes after its
parent, the longest entry that it continues: a conversation is written once, turn by turn. The
manifest's time of change is when the entry was last used, by itself or by one that continues it.
Any process may remove an entry; one that is gone, or whose parent is, is only a miss.
"""

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlx_magistral.errors import PrefixCacheError
from mlx_magistral.memory.prefixes.index import FORMAT, DiskEntry, PrefixIndex
from mlx_magistral.memory.prefixes.layer_file import (
    Layers,
    checksum_of,
    read_layers,
    span_bytes,
    write_layers,
)
from mlx_magistral.memory.prefixes.match import Wanted, packed

FOLDER_VARIABLE = "MLX_MAGISTRAL_CACHE"
DEFAULT_DISK_BYTES = 4_000_000_000

# A file that belongs to no entry after this time was left by a process that died.
_ABANDONED_S = 3600
_OWN_NAME = re.compile(r"(draft-)?[0-9a-f]{32}")


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
            # As they are now: another process may have written one anew since it was read.
            layers = self._arrays(self._index.chain(entry.name), length)
            if layers is not None:
                return layers, length
        return None, 0

    def save(
        self,
        fingerprint: str,
        tokens: Sequence[int],
        layers: Layers,
        *,
        ends: Sequence[int] | None = None,
        is_pinned: bool = False,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Write what no entry has yet, then remove the least recently used ones over the budget.

        The arrays hold these tokens or more. With ``ends``, where passes over the tokens end, only
        an entry that ended with one of them is continued. False where ``is_wanted`` said so in the
        middle: nothing is left of the entry then, as where the disk refuses. Raises
        PrefixCacheError.
        """
        name = _name(fingerprint, tokens)
        if self._index.chain(name):
            return True
        before = self._continued(fingerprint, Wanted(packed(tokens), ends))
        start = len(before[-1].tokens) if before else 0
        nbytes = span_bytes(layers, start, len(tokens))
        if nbytes + sum(entry.nbytes for entry in before) > self.budget_bytes:
            return True
        manifest: dict[str, object] = {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "parent": before[-1].name if before else None,
            "start": start,
            "tokens": list(tokens[start:]),
            "is_pinned": is_pinned,
        }
        draft = self.folder / f"draft-{uuid.uuid4().hex}.safetensors"
        try:
            # For nobody else's eyes: manifests hold the ids of prompts.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._require_room(nbytes)
            checksum = write_layers(draft, layers, start, len(tokens), is_wanted)
            if checksum is None:
                return False
            if draft.stat().st_size < nbytes:
                raise PrefixCacheError(f"{draft} was not written whole. Is the disk full?")
            manifest |= {"nbytes": draft.stat().st_size, "checksum": checksum}
            self._publish(draft, manifest, name)
            self._touch(before)
            self._evict()
        except (OSError, RuntimeError) as error:  # mlx raises the latter where an array fails
            raise PrefixCacheError(
                f"The prefix cache {self.folder} cannot be written ({error}); prompts are "
                f"computed anew next time. Set {FOLDER_VARIABLE} to another folder."
            ) from error
        finally:
            for left in (draft, draft.with_suffix(".draft")):
                with suppress(OSError):  # renamed, never made, or a folder that takes nothing
                    left.unlink()
        return True

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

    def _continued(self, fingerprint: str, wanted: Wanted) -> list[DiskEntry]:
        """The longest entry that these ids go on from, and those before it; the first one first."""
        shorter = [
            entry
            for entry in self._index.entries()
            if entry.fingerprint == fingerprint
            and len(entry.tokens) < len(wanted.tokens)
            and wanted.length(entry.tokens) == len(entry.tokens)
        ]
        for entry in sorted(shorter, key=lambda entry: len(entry.tokens), reverse=True):
            if chain := self._index.chain(entry.name):
                return chain
        return []

    def _require_room(self, nbytes: int) -> None:
        if shutil.disk_usage(self.folder).free < nbytes + nbytes // 10:
            raise PrefixCacheError(
                f"The disk of {self.folder} has no room for a prefix; prompts are computed anew "
                f"next time. Free some, or set {FOLDER_VARIABLE} to another folder."
            )

    def _publish(self, draft: Path, manifest: dict[str, object], name: str) -> None:
        """Give the arrays their name, and then the manifest: with it the entry is there."""
        manifest_draft = draft.with_suffix(".draft")
        manifest_draft.write_text(json.dumps(manifest))
        draft.replace(self.folder / f"{name}.safetensors")
        manifest_draft.replace(self.folder / f"{name}.json")

    def _evict(self) -> None:
        entries = self.entries()
        total = sum(entry.nbytes for entry in entries)
        # The budget holds for pinned entries too: the latest, in half of it, only go last.
        protected, room = set(), self.budget_bytes // 2
        for entry in reversed(entries):
            if entry.is_pinned and entry.nbytes <= room:
                protected.add(entry.name)
                room -= entry.nbytes
        # None goes before those that continue it, which were used no later.
        children = Counter(entry.parent for entry in entries)
        left = sorted(entries, key=lambda entry: entry.name in protected)
        while total > self.budget_bytes:
            leaf = next(entry for entry in left if not children[entry.name])
            left.remove(leaf)
            children[leaf.parent] -= 1
            self._index.remove(leaf.name)
            total -= leaf.nbytes
        known = {entry.name for entry in entries}
        for path in self._own_files():
            if path.stem not in known and _age_s(path) > _ABANDONED_S:
                path.unlink(missing_ok=True)

    def _arrays(self, chain: Sequence[DiskEntry], length: int) -> Layers | None:
        """Checked arrays of so many tokens; a damaged entry is removed."""
        chain = [entry for entry in chain if entry.start < length]
        files = [self.folder / f"{entry.name}.safetensors" for entry in chain]
        lengths = [min(len(entry.tokens), length) - entry.start for entry in chain]
        try:
            for entry, file in zip(chain, files, strict=True):
                if checksum_of(file) != entry.checksum:
                    self._index.remove(entry.name)
                    return None
            layers = read_layers(files, lengths) if files else None
            self._touch(chain)
        except (OSError, RuntimeError):
            return None
        return layers

    def _touch(self, entries: Sequence[DiskEntry]) -> None:
        """They were used now, all at the same time, those that others removed meanwhile too."""
        now = time.time()
        for entry in entries:
            with suppress(FileNotFoundError):
                os.utime(self.folder / f"{entry.name}.json", (now, now))


def _name(fingerprint: str, tokens: Sequence[int]) -> str:
    return hashlib.sha256(f"{fingerprint}{list(tokens)}".encode()).hexdigest()[:32]


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
