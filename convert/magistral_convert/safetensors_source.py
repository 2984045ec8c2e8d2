"""Native, HF and MLX-quantized folders as a Source: rows straight from the safetensors files.

What is in a folder and whether it is complete is the checkpoint reader's business
(mlx_magistral.model.checkpoint); this only takes rows out of files it has already checked.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_magistral.errors import ConversionError
from mlx_magistral.model.checkpoint import TensorInfo, open_checkpoint

from .recipe import module_path
from .source import BlockRequest

_DTYPES = {"BF16": mx.bfloat16, "F16": mx.float16, "F32": mx.float32, "U32": mx.uint32}
_WORDS = {name: np.dtype(f"u{dtype.size}") for name, dtype in _DTYPES.items()}
_PERMUTED = (".self_attn.q_proj.weight", ".self_attn.k_proj.weight")
_DOUBLE_ROUNDING = (
    "the source is quantized already, so its rounding errors stay and new ones are added; convert "
    "from the original where you can"
)


class SafetensorsSource:
    """Rows of a folder that open_checkpoint accepts; keeps no tensor and no open file."""

    def __init__(self, folder: Path) -> None:
        checkpoint = open_checkpoint(folder)
        self.folder = folder
        self.config = checkpoint.config
        self.nbytes = checkpoint.nbytes
        self._kind = str(checkpoint.kind)
        self._tensors: Mapping[str, TensorInfo] = checkpoint.tensors
        self._files = sorted({info.file for info in self._tensors.values()})
        self.shapes = model_order(self._logical_shapes())
        self.warnings = (_DOUBLE_ROUNDING,) if self._is_quantized else ()

    @property
    def description(self) -> dict[str, Any]:
        """See Source."""
        files = {
            path.name: {"nbytes": path.stat().st_size, "header_sha256": _header_hash(path)}
            for path in self._files
        }
        return {"kind": self._kind, "config": self.config.to_params(), "files": files}

    @property
    def modification_times(self) -> dict[str, int]:
        """See Source."""
        return {path.name: path.stat().st_mtime_ns for path in self._files}

    def row_step(self, tensor: str) -> int:
        """See Source: whole heads where a native checkpoint's rows are to be permuted."""
        is_permuted = self._kind == "native" and tensor.endswith(_PERMUTED)
        return self.config.head_dim if is_permuted else 1

    def read(self, request: BlockRequest) -> bytes:
        """See Source. A quantized tensor's packed rows, scales and biases follow one another."""
        blocks = (self._read_rows(part, request) for part in self._parts(request.tensor))
        return b"".join(blocks)

    def decode(self, request: BlockRequest, data: bytes) -> mx.array:
        """See Source."""
        rows = request.stop - request.start
        arrays = []
        at = 0
        for part in self._parts(request.tensor):
            info = self._tensors[part]
            nbytes = _row_bytes(info) * rows
            # numpy takes bytes without a copy; bfloat16 goes in as the uint16 it has no name for.
            words = np.frombuffer(data, _WORDS[info.dtype], nbytes // _WORDS[info.dtype].itemsize, at)
            arrays.append(mx.array(words).view(_DTYPES[info.dtype]).reshape(rows, *info.shape[1:]))
            at += nbytes
        if len(arrays) == 3:
            return self._dequantized(request.tensor, arrays)
        step = self.row_step(request.tensor)
        if step == 1:
            return arrays[0]
        columns = arrays[0].shape[1]
        pairs = arrays[0].reshape(-1, step // 2, 2, columns)  # interleaved: (head, pair, 2, C)
        return pairs.swapaxes(1, 2).reshape(rows, columns)

    @property
    def _is_quantized(self) -> bool:
        return any(name.endswith(".scales") for name in self._tensors)

    def _logical_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = {}
        for name, info in self._tensors.items():
            if name.endswith((".scales", ".biases")):
                continue
            shapes[name] = tuple(info.shape)
            if info.dtype == "U32":
                bits, _ = self._format(name)
                shapes[name] = (info.shape[0], info.shape[1] * 32 // bits)
        return shapes

    def _format(self, tensor: str) -> tuple[int, int]:
        raise NotImplementedError

    def _parts(self, tensor: str) -> tuple[str, ...]:
        if self._tensors[tensor].dtype != "U32":
            return (tensor,)
        module = module_path(tensor)
        return (tensor, f"{module}.scales", f"{module}.biases")

    def _dequantized(self, tensor: str, arrays: list[mx.array]) -> mx.array:
        bits, group_size = self._format(tensor)
        # In float32, so that no third rounding joins the two.
        packed, scales, biases = arrays
        exact = (scales.astype(mx.float32), biases.astype(mx.float32))
        return mx.dequantize(packed, *exact, group_size=group_size, bits=bits)

    def _read_rows(self, part: str, request: BlockRequest) -> bytes:
        info = self._tensors[part]
        row_bytes = _row_bytes(info)
        begin = info.offset + request.start * row_bytes
        wanted = (request.stop - request.start) * row_bytes
        try:
            with info.file.open("rb", buffering=0) as file:
                file.seek(begin)
                data = file.read(wanted)
        except OSError as error:
            raise ConversionError(
                f"Reading {part} from {info.file} failed: {error.strerror}. Finished shards are "
                "kept; bring the disk back and run the same command again."
            ) from error
        if data is None or len(data) < wanted:
            raise ConversionError(
                f"{info.file} ends inside {part}: it was cut since the conversion began. Fetch it "
                "again."
            )
        return data


def model_order(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Sort tensors as the model uses them: embedding, layers, final norm, head."""

    def position(name: str) -> tuple[int, int, str]:
        if name.startswith("model.layers."):
            return (1, int(name.split(".")[2]), name)
        return (0 if name.startswith("model.embed") else 2, 0, name)

    return {name: shapes[name] for name in sorted(shapes, key=position)}


def _row_bytes(info: TensorInfo) -> int:
    return info.nbytes // info.shape[0]


def _header_hash(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        length = file.read(8)
        return hashlib.sha256(length + file.read(int.from_bytes(length, "little"))).hexdigest()
