"""The files of a GGUF model: one, or the numbered parts that llama-gguf-split makes of it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlx_magistral.errors import CheckpointError, ConversionError

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)", re.I)
_UNKNOWN_TYPE = re.compile(r"(\d+)\)? is not a valid GGMLQuantizationType")
_OTHER_TYPES = "Take a file in one of llama.cpp's usual types, such as Q8_0, Q6_K or BF16."


class GgufTensor(NamedTuple):
    """A tensor's entry in a header, and the file that holds it."""

    file: Path
    entry: "ReaderTensor"


class GgufParts(NamedTuple):
    """All headers of a model; ``data_starts`` says where each file's header ends."""

    fields: dict[str, Any]
    tensors: dict[str, GgufTensor]
    data_starts: dict[Path, int]


def read_parts(path: Path) -> GgufParts:
    """Read the headers of a file, and of those it goes with; any of the parts may be named.

    Raises CheckpointError for a part that is not there or damaged, and ConversionError where the
    gguf package is not installed.
    """
    fields: dict[str, Any] = {}
    tensors: dict[str, GgufTensor] = {}
    data_starts = {}
    for number, file in enumerate(_part_files(path)):
        reader = _open(file)
        if number == 0:
            fields = {name: field.contents() for name, field in reader.fields.items()}
        tensors |= {entry.name: GgufTensor(file, entry) for entry in reader.tensors}
        data_starts[file] = reader.data_offset
    return GgufParts(fields, tensors, data_starts)


def refuse_unreadable_types(path: Path, tensors: dict[str, GgufTensor]) -> None:
    """Raise CheckpointError naming a type that the gguf package names and cannot decode."""
    from gguf import GGML_QUANT_SIZES
    from gguf.quants import dequantize

    seen = {each.entry.tensor_type: name for name, each in tensors.items()}
    for kind, name in seen.items():
        _, block_bytes = GGML_QUANT_SIZES[kind]
        try:
            dequantize(np.zeros((1, block_bytes), np.uint8), kind)
        except NotImplementedError as error:
            raise CheckpointError(
                f"{path}: {name} is stored as {kind.name}, which the gguf package does not decode. "
                f"{_OTHER_TYPES}"
            ) from error


def _part_files(path: Path) -> list[Path]:
    found = _PART.fullmatch(path.name)
    if found is None:
        return [path]
    count = int(found["count"])
    files = [
        path.with_name(f"{found['stem']}-{number:05d}-of-{count:05d}{found['suffix']}")
        for number in range(1, count + 1)
    ]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise CheckpointError(
            f"{path} is one of {count} parts, and {absent[0]} is not beside it. Fetch that file."
        )
    return files


def _open(path: Path) -> "GGUFReader":
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise ConversionError(
            "Reading GGUF needs the gguf package: pip install 'mlx-magistral[gguf]'."
        ) from error
    try:
        return GGUFReader(path)
    except (ValueError, OSError, IndexError, KeyError) as error:
        if unknown := _UNKNOWN_TYPE.search(str(error)):
            raise CheckpointError(
                f"{path} stores weights in type {unknown[1]}, which the gguf package here does not "
                f"know. {_OTHER_TYPES}"
            ) from error
        raise CheckpointError(f"{path} is no sound GGUF file: {error}. Fetch it again.") from error
