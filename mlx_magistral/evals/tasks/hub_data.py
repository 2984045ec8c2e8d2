"""Data files of a public set: from the hub's cache, fetched where they are not there yet.

What is used is known by the repository's commit and each file's SHA-256.
"""

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import HubError, MagistralError, ModelNotFoundError, RunError
from mlx_magistral.evals.tasks.local import file_sha256
from mlx_magistral.hub.cache import repository_folder, snapshot_of
from mlx_magistral.hub.download import download
from mlx_magistral.hub.repository import Repository, inspect_repository

# Fetches the files of a repository that are not here; returns the snapshot's folder.
Fetch = Callable[[Repository], Path]

_KIND = "dataset"
_BLOB = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class DataFiles:
    """Files here, and the record of what they are."""

    paths: tuple[Path, ...]
    source: dict[str, Any]


def local_files(paths: Sequence[Path]) -> DataFiles:
    """Files that somebody brought; raises RunError for one that is not there."""
    for path in paths:
        if not path.is_file():
            raise RunError(f"There is no data file {path}.")
    hashes = {path.name: file_sha256(path) for path in paths}
    return DataFiles(tuple(paths), {"files": hashes})


def hub_files(
    repositories: Sequence[str],
    patterns: Sequence[str],
    revision: str | None,
    *,
    most: int = 1,
    fetch: Fetch = download,
    way_out: str = "Or bring the file: --data FILE.",
) -> DataFiles:
    """The files of the first of these data sets that is there, whose names match.

    Patterns are tried in turn until one matches; of its files the first ``most`` by name are
    taken. ``revision`` is a commit or branch. Raises HubError that ends in ``way_out``.
    """
    missing: ModelNotFoundError | None = None
    for repository in repositories:
        try:
            return _find(repository, patterns, revision, most, fetch)
        except ModelNotFoundError as error:
            missing = error
        except HubError as error:
            raise _with_way_out(error, way_out) from error
    assert missing is not None
    raise _with_way_out(missing, way_out) from missing


def _find(
    name: str, patterns: Sequence[str], revision: str | None, most: int, fetch: Fetch
) -> DataFiles:
    if _is_offline():
        folder = _known_snapshot(name, revision)
    else:
        repository = inspect_repository(name, revision, kind=_KIND)
        wanted = _matching([file.name for file in repository.files], patterns, most)
        folder = fetch(repository.only(wanted))
    here = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    names = _matching(here, patterns, most)
    if not names:
        raise HubError(f"{name} has no file {' or '.join(patterns)}.")
    paths = [folder / each for each in names]
    hashes = {each: _hash(path) for each, path in zip(names, paths, strict=True)}
    # The cache names a snapshot's folder by its commit.
    source = {"repository": name, "revision": folder.name, "files": hashes}
    return DataFiles(tuple(paths), source)


def _known_snapshot(name: str, revision: str | None) -> Path:
    """What was fetched of it before."""
    snapshot = snapshot_of(name, _KIND)
    if revision is not None:
        snapshot = repository_folder(name, _KIND) / "snapshots" / revision
    if snapshot is None or not snapshot.is_dir():
        raise HubError(
            f"{name} is not on this disk, and HF_HUB_OFFLINE is set. Unset it to download."
        )
    return snapshot


def _matching(names: Sequence[str], patterns: Sequence[str], most: int) -> list[str]:
    for pattern in patterns:
        found = sorted(name for name in names if fnmatch.fnmatch(name, pattern))
        if found:
            return found[:most]
    return []


def _hash(path: Path) -> str:
    """Of the content; the hub's cache names large files by it."""
    blob = path.resolve().name
    return blob if _BLOB.fullmatch(blob) else file_sha256(path)


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _with_way_out(error: MagistralError, way_out: str) -> HubError:
    return HubError(f"{error} {way_out}")
