"""The header of a safetensors file: which tensors it holds and where, checked against its size.

Format: 8 bytes little-endian length, that many bytes of JSON, then the tensors' bytes without gaps
(https://github.com/huggingface/safetensors#format). Reads no tensor.
"""

import json
import math
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import CheckpointError, DamagedFileError
from mlx_magistral.lfs_pointer import is_lfs_pointer, lfs_advice

# What the first read takes: 363 tensors need 40,000, and more are read on.
HEADER_GUESS_BYTES = 100_000
# The format's own limit, so that a damaged length asks for no absurd read.
_MAX_HEADER_BYTES = 100_000_000
_DTYPE_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: ``nbytes`` bytes of ``file`` from ``start``, row by row."""

    name: str
    shape: tuple[int, ...]
    dtype: str  # as safetensors spells it: "BF16", "U32"
    file: Path
    start: int
    nbytes: int


def read_header(file: Path) -> dict[str, StoredTensor]:
    """Name -> place of each tensor; raises CheckpointError naming the file where it is damaged."""
    try:
        facts = file.stat()
        if not stat.S_ISREG(facts.st_mode):
            # Opening a pipe would wait for whoever writes into it.
            raise CheckpointError(f"{file} is no regular file. Put the weights themselves there.")
        with file.open("rb") as stream:
            start = stream.read(HEADER_GUESS_BYTES)
            length = header_bytes(start, facts.st_size, file)
            start += stream.read(max(0, length - len(start)))
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}.") from error
    return parse_header(start[:length], facts.st_size, file)


def header_bytes(start: bytes, size: int, file: Path) -> int:
    """Bytes of a file's header, its own length included, from the first 8 or more bytes.

    ``size`` is that of the whole file. Raises CheckpointError.
    """
    if is_lfs_pointer(start):
        raise CheckpointError(lfs_advice(file))
    length = int.from_bytes(start[:8], "little")
    if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
        raise _damaged(file, f"its header should have {length:,} bytes")
    return 8 + length


def parse_header(header: bytes, size: int, file: Path) -> dict[str, StoredTensor]:
    """Name -> place of each tensor in a file of ``size`` bytes that begins with ``header``."""
    try:
        content = json.loads(header[8:])
    except ValueError as error:
        raise _damaged(file, "its header is no JSON") from error
    if not isinstance(content, dict):
        raise _damaged(file, "its header is no JSON object")
    content.pop("__metadata__", None)
    start = len(header)
    tensors = {name: _tensor(file, name, entry, start) for name, entry in content.items()}
    _check_layout(file, size, start, list(tensors.values()))
    return tensors


def _tensor(file: Path, name: str, entry: Any, data_start: int) -> StoredTensor:
    try:
        dtype = entry["dtype"]
        shape = tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        is_sound = all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end))
        item_bytes = _DTYPE_BYTES[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(file, f"its entry for {name} reads {entry!r}") from error
    if not is_sound or end - begin != math.prod(shape) * item_bytes:
        raise _damaged(file, f"its entry for {name} reads {entry!r}")
    return StoredTensor(name, shape, dtype, file, data_start + begin, end - begin)


def _check_layout(file: Path, size: int, start: int, tensors: list[StoredTensor]) -> None:
    """The tensors must follow each other without gap or overlap and end where the file ends."""
    position = start
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.nbytes)):
        if tensor.start != position:
            raise _damaged(file, f"{tensor.name} begins at byte {tensor.start:,}, not {position:,}")
        position += tensor.nbytes
    if position != size:
        raise _damaged(file, f"it has {size:,} bytes, and its header tells of {position:,}")


def _damaged(file: Path, reason: str) -> DamagedFileError:
    return DamagedFileError(
        f"{file} is truncated or no safetensors file: {reason}. Fetch the file again."
    )
