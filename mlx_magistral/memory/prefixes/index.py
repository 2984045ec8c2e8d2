"""PrefixIndex: the manifests of a prefix folder, each read once in a process.

An entry holds the ids after its parent's, so it exists only where its parent does, and that one's
parent. Any process may add an entry, by renaming its manifest into the folder, or remove one. A
look-up therefore lists the folder, and reads the manifests alone that it has not seen before.
"""

import json
import os
from array import array
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlx_magistral.memory.prefixes.match import packed

# Raised when what an entry holds changes its meaning. Those of lower formats are removed; of a
# higher one, another version's, they are left alone.
FORMAT = 3


@dataclass(frozen=True)
class DiskEntry:
    """A manifest. ``used`` is in seconds since 1970; arrays of ids compare as memory does.

    ``tokens`` are all ids, of which the first ``start`` are the parent's; ``nbytes`` is its own
    file's.
    """

    name: str
    fingerprint: str
    parent: str | None
    start: int
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
    # Their ``tokens`` are those after the parent's alone.
    _links: dict[str, tuple[tuple[int, int], DiskEntry]] = field(default_factory=dict)
    _known: dict[str, DiskEntry] = field(default_factory=dict)

    def entries(self) -> list[DiskEntry]:
        """All entries, for looking up; ``used`` may be of an earlier time."""
        names = self._names()
        for name in names - self._known.keys():
            self.chain(name)
        whole: dict[str, DiskEntry] = {}
        for entry in sorted(self._known.values(), key=lambda entry: entry.start):
            if entry.name in names and (entry.parent is None or entry.parent in whole):
                whole[entry.name] = entry
        self._known = whole
        self._links = {name: each for name, each in self._links.items() if name in whole}
        return list(whole.values())

    def listed(self) -> list[DiskEntry]:
        """All whole entries as they are now, least recently used first; damaged are removed."""
        seen: dict[str, DiskEntry | None] = {}
        found = [chain[-1] for name in self._names() if (chain := self.chain(name, seen))]
        self._known = {entry.name: entry for entry in found}
        return sorted(found, key=lambda entry: entry.used)

    def chain(self, name: str, seen: dict[str, DiskEntry | None] | None = None) -> list[DiskEntry]:
        """The entry as it is now and those it continues, the first of them first.

        Empty where one of them is gone or damaged; what cannot be used is removed. Manifests that
        are in ``seen`` are not looked at again.
        """
        seen = {} if seen is None else seen
        links: list[DiskEntry] = []
        following: str | None = name
        while following is not None:
            if following not in seen:
                seen[following] = self._link(following)
            link = seen[following]
            # A parent ends where its child starts, so a chain that is none ends here too.
            if link is None or (links and link.start + len(link.tokens) != links[-1].start):
                for orphan in links:
                    self.remove(orphan.name)
                return []
            links.append(link)
            following = link.parent
        chain: list[DiskEntry] = []
        for link in reversed(links):
            known = self._known.get(link.name)
            before = chain[-1].tokens if chain else packed(())
            tokens = before + link.tokens if known is None else known.tokens
            chain.append(replace(link, tokens=tokens))
            self._known[link.name] = chain[-1]
        return chain

    def _link(self, name: str) -> DiskEntry | None:
        """One manifest as it is now, its tokens those after the parent's; removed if damaged."""
        manifest = self.folder / f"{name}.json"
        try:
            facts = manifest.stat()
            # Not its time of change, which says when the entry was used last.
            stamp = (facts.st_ino, facts.st_size)
            known_stamp, entry = self._links.get(name, (None, None))
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
        self._links[name] = (stamp, entry)
        return entry

    def remove(self, name: str) -> None:
        """Remove an entry's files; whoever else looks finds nothing."""
        self._known.pop(name, None)
        self._links.pop(name, None)
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
    parent, start = content["parent"], int(content["start"])
    if (parent is None) != (start == 0) or not content["tokens"]:
        raise ValueError(f"{manifest} begins at {start} without a parent, or ends there.")
    return DiskEntry(
        name=manifest.stem,
        fingerprint=str(content["fingerprint"]),
        parent=None if parent is None else str(parent),
        start=start,
        tokens=packed(content["tokens"]),
        nbytes=int(content["nbytes"]),
        checksum=int(content["checksum"]),
        is_pinned=bool(content["is_pinned"]),
        used=0.0,
    )
