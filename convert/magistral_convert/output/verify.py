"""Re-check a converted folder against its conversion.json, and against its source where given.

Every byte of the folder is hashed; a difference is named by file, and inside a shard by tensor.
With a source, every tensor is read from both sides and its error measured again.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import mlx.core as mx

from magistral_convert.progress import Watcher
from magistral_convert.rounding.quantize import number
from magistral_convert.sources.kinds import open_source
from magistral_convert.sources.source import BlockRequest, Source, row_blocks
from mlx_magistral.errors import CheckpointError, ConversionError
from mlx_magistral.model.checkpoint import open_checkpoint

from .manifest import MANIFEST_FILE, Manifest, ShardRecord, read_manifest
from .prefetch import work_ahead
from .shards import hash_file, hash_shard

# A measured error may differ from the recorded one by float32 summation, never by more.
_ERROR_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Finding:
    """Something in the folder that is not as recorded."""

    place: str  # a file, or file: tensor
    problem: str


def verify_folder(folder: Path, watcher: Watcher | None = None) -> list[Finding]:
    """Hash every file and check every shape; no finding means every byte is as it was written.

    Raises ConversionError where the folder has no usable conversion.json.
    """
    manifest = read_manifest(folder)
    watcher = watcher or Watcher()
    watcher.expected(sum(record.nbytes for record in manifest.shards.values()))
    findings = [*_check_files(folder, manifest)]
    for name, record in manifest.shards.items():
        watcher.started(name)
        findings += _check_shard(folder / name, record)
        watcher.advanced(record.nbytes)
    if not findings:
        # Hashes prove the bytes; this proves that config.json and the shards agree.
        try:
            open_checkpoint(folder)
        except CheckpointError as error:
            findings.append(Finding("config.json", str(error)))
    return findings


def verify_source(folder: Path, source: Source, watcher: Watcher | None = None) -> list[Finding]:
    """Read both sides of every tensor again: hash and error must be as recorded."""
    manifest = read_manifest(folder)
    watcher = watcher or Watcher()
    watcher.expected(sum(map(prod, source.shapes.values())))
    result = open_source(folder)
    findings = []
    for record in manifest.shards.values():
        for name, tensor in record.tensors.items():
            watcher.started(name)
            if name not in source.shapes or source.shapes[name] != result.shapes.get(name):
                findings.append(Finding(name, "is of another shape in the source"))
                continue
            measured = _measure(name, source, result, watcher)
            if measured.source_sha256 != tensor.source_sha256:
                findings.append(Finding(name, "was converted from other source bytes than these"))
            elif abs(measured.error - tensor.error) > _ERROR_TOLERANCE * tensor.error + 1e-9:
                findings.append(
                    Finding(name, f"has error {measured.error:.6g}, recorded {tensor.error:.6g}")
                )
    return findings


@dataclass(frozen=True)
class _Measured:
    source_sha256: str
    error: float


def _measure(name: str, source: Source, result: Source, watcher: Watcher) -> _Measured:
    digest = hashlib.sha256()
    squared_error = squared_norm = 0.0

    def read(request: BlockRequest) -> tuple[bytes, bytes]:
        data = source.read(request)
        digest.update(data)
        return data, result.read(request)

    for request, (exact_data, stored_data) in work_ahead(row_blocks(source, name), read):
        exact = source.decode(request, exact_data).astype(mx.float32)
        stored = result.decode(request, stored_data).astype(mx.float32)
        squared_error += number(mx.sum(mx.square(exact - stored)))
        squared_norm += number(mx.sum(mx.square(exact)))
        watcher.advanced(exact.size)
    error = math.sqrt(squared_error / squared_norm) if squared_norm else 0.0
    return _Measured(digest.hexdigest(), error)


def _check_files(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    for name, sha256 in manifest.files.items():
        path = folder / name
        if not path.is_file():
            yield Finding(name, "is missing")
        elif hash_file(path) != sha256:
            yield Finding(name, "differs from what was written")
    known = {*manifest.files, *manifest.shards, MANIFEST_FILE}
    for path in sorted(folder.iterdir()):
        # Loaders take every model*.safetensors they find, so a stray one changes the model.
        # Not the ._ files that macOS leaves on exFAT, which nobody reads.
        is_read = path.suffix == ".safetensors" and not path.name.startswith("._")
        if path.name not in known and is_read:
            yield Finding(path.name, "is not part of the conversion; loaders may read it")


def _check_shard(path: Path, record: ShardRecord) -> Iterator[Finding]:
    if not path.is_file():
        yield Finding(path.name, "is missing")
        return
    try:
        hashes = hash_shard(path)
    except ConversionError as error:
        yield Finding(path.name, f"header: {error}")
        return
    parts = {part: sha for tensor in record.tensors.values() for part, sha in tensor.sha256.items()}
    damaged = [part for part, sha256 in parts.items() if hashes.tensors.get(part) != sha256]
    for part in damaged:
        yield Finding(f"{path.name}: {part}", "differs from what was written")
    if hashes.sha256 != record.sha256 and not damaged:
        yield Finding(path.name, "header differs from what was written")
