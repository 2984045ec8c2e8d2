"""Native, HF and MLX-quantized folders as a Source: rows straight from the safetensors files.

What is in a folder and whether it is complete is the checkpoint reader's business
(mlx_magistral.model.checkpoint); this only takes rows out of files it has already checked.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from magistral_convert.recipe import module_path
from magistral_convert.rounding.quantize import dequantized
from mlx_magistral.model.checkpoint import Checkpoint, Kind
from mlx_magistral.model.inventory import TensorInfo
from mlx_magistral.model.names import expected_shapes, is_permuted, permute

from .file_rows import read_range
from .source import BlockRequest

_DTYPES = {"BF16": mx.bfloat16, "F16": mx.float16, "F32": mx.float32, "U32": mx.uint32}
_WORDS = {name: np.dtype(f"u{dtype.size}") for name, dtype in _DTYPES.items()}
_DOUBLE_ROUNDING = (
    "the source is quantized already, so its rounding errors stay and new ones are added; convert "
    "from the original where you can"
)


class SafetensorsSource:
    """Rows of a checked folder; keeps no tensor and no open file.

    Its files need not be there before they are read: what is still at the hub is planned first.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.folder = checkpoint.folder
        self.config = checkpoint.config
        self.nbytes = checkpoint.nbytes
        self._kind = checkpoint.kind
        self._tensors: Mapping[str, TensorInfo] = checkpoint.tensors
        self._files = sorted({info.file for info in self._tensors.values()})
        self._quantization = checkpoint.quantization
        self.shapes = expected_shapes(self.config)
        warnings = [checkpoint.passed_over] if checkpoint.passed_over else []
        if checkpoint.quantization is not None:
            warnings.append(_DOUBLE_ROUNDING)
        self.warnings = tuple(warnings)

    @property
    def description(self) -> dict[str, Any]:
        """See Source."""
        files = {
            path.name: {"nbytes": path.stat().st_size, "header_sha256": _header_hash(path)}
            for path in self._files
        }
        return {"kind": self._kind.value, "config": self.config.to_params(), "files": files}

    @property
    def modification_times(self) -> dict[str, int]:
        """See Source."""
        return {path.name: path.stat().st_mtime_ns for path in self._files}

    def row_step(self, tensor: str) -> int:
        """See Source: whole heads where a native checkpoint's rows are to be permuted."""
        is_native_head = self._kind is Kind.NATIVE and is_permuted(tensor)
        return self.config.head_dim if is_native_head else 1

    def read(self, request: BlockRequest) -> bytes:
        """See Source. A quantized tensor's packed rows, scales and biases follow one another."""
        blocks = (self._read_rows(part, request) for part in self._parts(request.tensor))
        return b"".join(blocks)

    def decode(self, request: BlockRequest, data: bytes) -> mx.array:
        """See Source."""
        rows = request.rows
        arrays = []
        position = 0
        for part in self._parts(request.tensor):
            info = self._tensors[part]
            words = _WORDS[info.dtype]
            count = _row_bytes(info) * rows // words.itemsize
            # numpy takes bytes without a copy; bfloat16 goes in as the uint16 it has no name for.
            array = mx.array(np.frombuffer(data, words, count, position))
            arrays.append(array.view(_DTYPES[info.dtype]).reshape(rows, *info.shape[1:]))
            position += count * words.itemsize
        if len(arrays) == 3:
            return self._dequantized(request.tensor, arrays)
        step = self.row_step(request.tensor)
        return arrays[0] if step == 1 else permute(arrays[0], step)

    def _parts(self, tensor: str) -> tuple[str, ...]:
        if self._tensors[tensor].dtype != "U32":
            return (tensor,)
        module = module_path(tensor)
        return (tensor, f"{module}.scales", f"{module}.biases")

    def _dequantized(self, tensor: str, arrays: list[mx.array]) -> mx.array:
        assert self._quantization is not None
        format = self._quantization.for_path(module_path(tensor))
        assert format is not None
        return dequantized(tuple(arrays), format)

    def _read_rows(self, part: str, request: BlockRequest) -> bytes:
        info = self._tensors[part]
        row_bytes = _row_bytes(info)
        begin = info.start + request.start * row_bytes
        wanted = request.rows * row_bytes
        return read_range(info.file, begin, wanted, part)


def _row_bytes(info: TensorInfo) -> int:
    return info.nbytes // info.shape[0]


def _header_hash(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        length = file.read(8)
        return hashlib.sha256(length + file.read(int.from_bytes(length, "little"))).hexdigest()
