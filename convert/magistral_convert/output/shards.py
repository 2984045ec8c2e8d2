"""Write one safetensors shard as a stream, and prove that what is on the disk is what was meant.

The header comes first, from the plan, so a shard is never held in memory: every tensor has its own
cursor and running hash, and blocks land at their place in whatever order they are made.
"""

import fcntl
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_magistral.errors import ConversionError

DTYPE_BYTES = {"U32": 4, "BF16": 2, "F16": 2, "F32": 4}
_READ_BYTES = 1 << 20
# Chunks that wait for the hash of the whole file while the tensors' hashes go on.
_CHUNKS_BEHIND = 8
TEMPORARY_SUFFIX = ".tmp"
# Blocks waiting for the disk: enough to write and hash behind the computing, and a fixed memory.
_BLOCKS_BEHIND = 4

# Called with the name of each step that a kill may follow; tests end the process there.
Fault = Callable[[str], None]


@dataclass(frozen=True)
class ShardEntry:
    """One entry of a safetensors header."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size of the data, in bytes."""
        return DTYPE_BYTES[self.dtype] * prod(self.shape)


@dataclass(frozen=True)
class FileHashes:
    """SHA-256 of a whole shard and of each tensor's bytes in it."""

    nbytes: int
    sha256: str
    tensors: dict[str, str]


@dataclass
class _Cursor:
    offset: int
    end: int
    digest: Any = field(default_factory=hashlib.sha256)


class ShardWriter:
    """Writes ``path`` under a temporary name; ``close`` gives it its own, ``finish`` checks it too.

    Blocks are written and hashed in a thread; what fails there is raised by a later call.
    Use as a context manager: leaving it without either closes the unfinished file.
    """

    def __init__(self, path: Path, tensors: Sequence[ShardEntry], fault: Fault) -> None:
        self._path = path
        self._temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        self._fault = fault
        header = encode_header(tensors)
        self._cursors: dict[str, _Cursor] = {}
        offset = len(header)
        for tensor in tensors:
            self._cursors[tensor.name] = _Cursor(offset, offset + tensor.nbytes)
            offset += tensor.nbytes
        self._pending: deque[Future[None]] = deque()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write-behind")
        self._descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        _write_all(self._descriptor, memoryview(header), 0)
        fault(f"{path.name}: header written")

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.shutdown(cancel_futures=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def append(self, name: str, block: mx.array) -> None:
        """Add the next rows of tensor ``name``; the array must be evaluated and row-contiguous."""
        self._pending.append(self._worker.submit(self._write, name, _array_bytes(block)))
        self._wait(_BLOCKS_BEHIND)

    def _wait(self, left: int) -> None:
        while len(self._pending) > left:
            self._pending.popleft().result()

    def _write(self, name: str, data: memoryview) -> None:
        cursor = self._cursors[name]
        assert cursor.offset + data.nbytes <= cursor.end, f"{name} is longer than planned"
        _write_all(self._descriptor, data, cursor.offset)
        cursor.digest.update(data)
        cursor.offset += data.nbytes
        self._fault(f"{self._path.name}: {name} continued")

    def finish(self) -> FileHashes:
        """Close, read back and compare. Raises ConversionError on a difference."""
        self.close()
        hashes = hash_shard(self._path)
        for name, cursor in self._cursors.items():
            if hashes.tensors.get(name) != cursor.digest.hexdigest():
                raise ConversionError(
                    f"{self._path.name} reads back differently from what was written, at {name}. "
                    "The disk or its cable is failing; run the same command again or use another."
                )
        return hashes

    def close(self) -> None:
        """Flush and rename, once every tensor is whole."""
        self._wait(0)
        for name, cursor in self._cursors.items():
            assert cursor.offset == cursor.end, f"{name} is shorter than planned"
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self._fault(f"{self._path.name}: flushed")
        os.replace(self._temporary, self._path)
        sync_folder(self._path.parent)
        self._fault(f"{self._path.name}: renamed")


def encode_header(tensors: Sequence[ShardEntry]) -> bytes:
    """The safetensors header for tensors stored in this order, padded to 8 bytes."""
    entries: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.nbytes
        entries[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def hash_shard(path: Path) -> FileHashes:
    """Read a shard from the disk, not the page cache where the system allows, and hash it.

    Raises ConversionError where the header cannot be read or the tensors do not fill the file.
    """
    whole = hashlib.sha256()
    hashes: dict[str, str] = {}
    waiting: deque[Future[None]] = deque()
    # The file's hash in a thread of its own, beside that of the tensor: hashlib lets go of the GIL.
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(max_workers=1) as beside:
        _bypass_cache(file.fileno())
        length = file.read(8)
        # A damaged length could ask for an exabyte.
        header_bytes = min(int.from_bytes(length, "little"), os.fstat(file.fileno()).st_size)
        text = file.read(header_bytes)
        whole.update(length + text)
        for name, nbytes in _tensor_sizes(text, path):
            digest = hashlib.sha256()
            for chunk in _chunks(file.fileno(), nbytes):
                waiting.append(beside.submit(whole.update, chunk))
                digest.update(chunk)
                if len(waiting) > _CHUNKS_BEHIND:
                    waiting.popleft().result()
            hashes[name] = digest.hexdigest()
        for update in waiting:
            update.result()
        tail = file.read(1)
        nbytes = file.tell()
    if tail:
        raise ConversionError(f"{path.name} is longer than its header says.")
    return FileHashes(nbytes, whole.hexdigest(), hashes)


def hash_file(path: Path) -> str:
    """SHA-256 of any file, read like a shard."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        _bypass_cache(file.fileno())
        for chunk in _chunks(file.fileno(), os.fstat(file.fileno()).st_size):
            digest.update(chunk)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames and new names inside ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tensor_sizes(header: bytes, path: Path) -> list[tuple[str, int]]:
    try:
        entries = json.loads(header)
        spans = sorted(
            (*entry["data_offsets"], name)
            for name, entry in entries.items()
            if name != "__metadata__"
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConversionError(f"{path.name} has a damaged safetensors header: {error}.") from error
    return [(name, end - begin) for begin, end, name in spans]


def _chunks(descriptor: int, nbytes: int) -> Iterator[bytes]:
    while nbytes > 0:
        chunk = os.read(descriptor, min(nbytes, _READ_BYTES))
        if not chunk:
            return
        nbytes -= len(chunk)
        yield chunk


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data.nbytes:
        written = os.pwrite(descriptor, data, offset)
        data = data[written:]
        offset += written


def _array_bytes(block: mx.array) -> memoryview:
    # bfloat16 has no buffer format, so every 16-bit array goes out as uint16.
    plain = block.view(mx.uint16) if block.dtype.size == 2 else block
    mx.eval(plain)
    return np.asarray(plain).data.cast("B")


def _bypass_cache(descriptor: int) -> None:
    """Ask for a read from the device itself; where neither call exists the check is weaker."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    elif hasattr(fcntl, "F_NOCACHE"):
        fcntl.fcntl(descriptor, fcntl.F_NOCACHE, 1)
