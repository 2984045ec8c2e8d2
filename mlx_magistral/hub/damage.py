"""Which files of a downloaded model are not as the hub has them: by size, and by hash if asked.

The cache names a blob by the hash of its content, so most of this needs no network; on a disk
without links the files have no such name, and only the hub's listing tells.
"""

import hashlib
from pathlib import Path

from mlx_magistral.errors import CheckpointError
from mlx_magistral.hub.cache import blob_name
from mlx_magistral.hub.repository import Repository
from mlx_magistral.model.safetensors_header import read_header

_READ_BYTES = 1 << 22
_SHA256_DIGITS = 64


def damaged_files(snapshot: Path, *, has_hashes: bool) -> list[str]:
    """Names of files that are cut or hold other bytes than their blob's name says.

    Weights are judged by their header's own account of the file's size, and with ``has_hashes`` by
    every byte; small files always by every byte.
    """
    return [
        name
        for name, path in _files(snapshot)
        if _is_damaged(path, blob_name(path), has_hashes=has_hashes)
    ]


def differing_files(repository: Repository, *, has_hashes: bool) -> list[str]:
    """The same by the hub's listing, for a snapshot whose files have no hash for a name."""
    found = []
    for file in repository.files:
        place = repository.place(file)
        if not place.exists():
            continue
        if place.stat().st_size != file.nbytes or _is_damaged(
            place, file.blob, has_hashes=has_hashes
        ):
            found.append(file.name)
    return found


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _files(snapshot: Path) -> list[tuple[str, Path]]:
    found = [path for path in snapshot.rglob("*") if path.is_symlink() or path.is_file()]
    return sorted((path.relative_to(snapshot).as_posix(), path) for path in found)


def _is_damaged(path: Path, blob: str | None, *, has_hashes: bool) -> bool:
    if not path.is_file():
        return True  # a link that leads nowhere
    is_weights = path.suffix == ".safetensors"
    if blob is not None and (has_hashes or not is_weights):
        return _hash_like(blob, path) != blob
    if not is_weights:
        return False
    try:
        read_header(path)
    except CheckpointError:
        return True
    return False


def _hash_like(blob: str, path: Path) -> str:
    """The file's hash of the kind that a blob's name is: SHA-256, or git's, which is SHA-1."""
    if len(blob) == _SHA256_DIGITS:
        return sha256_of(path)
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
