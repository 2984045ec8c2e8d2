"""PrefixIndex: the manifests of a prefix folder, each read once in a process.

Any process may add an entry, by renaming its manifest into the folder, or remove one. A look-up
therefore lists the folder, and reads the manifests alone that it has not seen before.
"""

import json
import os
from array import array
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlx_magistral.memory.prefixes.match import packed

# Raised when what an entry holds changes its meaning. Those of lower formats are removed; of a
# higher one, another version's, they are left alone.
FORMAT = 2


@dataclass(frozen=True)
class DiskEntry:
    """A manifest. ``used`` is in seconds since 1970; arrays of ids compare as memory does."""

    name: str
    fingerprint: str
    tokens: "array[int]"
    nbytes: int
    checksum: int
    is_pinned: bool
    used: float


@dataclass
class PrefixIndex:
    """What ``folder`` holds: NAME.json, the manifest, and NAME.safetensors, the arrays."""

    folder: Path
    dropped: int = 0  # entries of lower formats that were removed
    _known: dict[str, tuple[tuple[int, int], DiskEntry]] = field(default_factory=dict)

    def entries(self) -> list[DiskEntry]:
        """All entries, for looking up; ``used`` may be of an earlier time."""
        names = self._names()
        self._known = {name: each for name, each in self._known.items() if name in names}
        for name in names - self._known.keys():
            self.find(name)
        return [entry for _, entry in self._known.values()]

    def listed(self) -> list[DiskEntry]:
        """All whole entries as they are now, least recently used first; damaged are removed."""
        found = [entry for entry in map(self.find, self._names()) if entry is not None]
        self._known = {entry.name: self._known[entry.name] for entry in found}
        return sorted(found, key=lambda entry: entry.used)

    def find(self, name: str) -> DiskEntry | None:
        """The whole entry of this name as it is now; a damaged one is removed."""
        manifest = self.folder / f"{name}.json"
        try:
            facts = manifest.stat()
            # Not its time of change, which says when the entry was used last.
            stamp = (facts.st_ino, facts.st_size)
            known_stamp, entry = self._known.get(name, (None, None))
            if stamp != known_stamp:
                entry = _read(manifest)
            if entry is None:
                return None
            entry = replace(entry, used=facts.st_mtime)
            is_whole = manifest.with_suffix(".safetensors").stat().st_size == entry.nbytes
        except OSError:
            return None  # removed by another process meanwhile, or not readable
        except _Outdated:
            self.remove(name)
            self.dropped += 1
            return None
        except (ValueError, KeyError, TypeError, OverflowError):
            is_whole = False
        if entry is None or not is_whole:
            self.remove(name)
            return None
        self._known[name] = (stamp, entry)
        return entry

    def remove(self, name: str) -> None:
        """Remove an entry's files; whoever else looks finds nothing."""
        self._known.pop(name, None)
        # The manifest first: without it the entry is gone for everyone.
        for suffix in (".json", ".safetensors"):
            try:
                (self.folder / f"{name}{suffix}").unlink(missing_ok=True)
            except OSError:
                return  # a folder that may only be read keeps it

    def _names(self) -> set[str]:
        """Of manifests whose arrays are there."""
        try:
            files = set(os.listdir(self.folder))
        except OSError:
            return set()
        names = {name.removesuffix(".json") for name in files if name.endswith(".json")}
        return {name for name in names if f"{name}.safetensors" in files}


class _Outdated(Exception):
    """A manifest of a lower format."""


def _read(manifest: Path) -> DiskEntry | None:
    """None for a manifest of a higher format; raises what a damaged one makes Python raise."""
    content = json.loads(manifest.read_text("utf-8"))
    if content["format"] < FORMAT:
        raise _Outdated
    if content["format"] > FORMAT:
        return None
    return DiskEntry(
        name=manifest.stem,
        fingerprint=str(content["fingerprint"]),
        tokens=packed(content["tokens"]),
        nbytes=int(content["nbytes"]),
        checksum=int(content["checksum"]),
        is_pinned=bool(content["is_pinned"]),
        used=0.0,
    )
