"""A llama.cpp GGUF model as a Source, read through the ``gguf`` package (an optional extra).

The package reads the header and decodes blocks; rows come straight from the file, so memory stays
bounded. llama.cpp keeps q and k in the order of native checkpoints, which is undone here.
"""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes, is_permuted, permute

from .file_rows import read_range
from .gguf_parts import GgufTensor, read_parts, refuse_unreadable_types
from .source import BlockRequest

_TOP_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
# llama.cpp writes mistral3 for 2509 and Small 3.x; both keep q and k in the native order.
_ARCHITECTURES = ("llama", "mistral3")
# What changes the computation, under the architecture's name.
_FOREIGN = (
    "rope.scaling.type",
    "attention.temperature_scale",
    "attention.sliding_window",
    "expert_count",
)
_FLOATS: dict[str, tuple[npt.DTypeLike, mx.Dtype]] = {
    "F32": (np.float32, mx.float32),
    "F16": (np.float16, mx.float16),
    "BF16": (np.uint16, mx.bfloat16),
}
_DOUBLE_ROUNDING = (
    "the GGUF file is quantized already ({}), so its rounding errors stay and new ones are added; "
    "convert from the original where you can"
)


class GgufSource:
    """Rows of a GGUF model of one of the architectures that a Mistral is stored as."""

    def __init__(self, path: Path) -> None:
        parts = read_parts(path)
        self._path = path
        self._data_starts = parts.data_starts
        self._tensors = parts.tensors
        self.folder = path.parent
        self.config = _config(parts.fields, self._tensors, path)
        self.shapes: Mapping[str, tuple[int, ...]] = expected_shapes(self.config)
        self._check()
        refuse_unreadable_types(path, self._tensors)
        types = sorted({self._type(name) for name in self.shapes} - _FLOATS.keys())
        self.warnings: tuple[str, ...] = ()
        if types:
            self.warnings = (_DOUBLE_ROUNDING.format(", ".join(types)),)

    @property
    def nbytes(self) -> int:
        """See Source."""
        return sum(int(tensor.entry.n_bytes) for tensor in self._tensors.values())

    @property
    def description(self) -> dict[str, Any]:
        """See Source."""
        files = {}
        for path, start in self._data_starts.items():
            header = hashlib.sha256(read_range(path, 0, start, "the header"))
            size = path.stat().st_size
            files[path.name] = {"nbytes": size, "header_sha256": header.hexdigest()}
        return {"kind": "GGUF", "config": self.config.to_params(), "files": files}

    @property
    def modification_times(self) -> dict[str, int]:
        """See Source."""
        return {path.name: path.stat().st_mtime_ns for path in self._data_starts}

    def row_step(self, tensor: str) -> int:
        """See Source: whole heads where rows are to be permuted."""
        return self.config.head_dim if is_permuted(tensor) else 1

    def read(self, request: BlockRequest) -> bytes:
        """See Source."""
        row_bytes = self._row_bytes(request.tensor)
        tensor = self._tensors[_gguf_name(request.tensor)]
        start = tensor.entry.data_offset + request.start * row_bytes
        return read_range(tensor.file, start, request.rows * row_bytes, request.tensor)

    def decode(self, request: BlockRequest, data: bytes) -> mx.array:
        """See Source; blocks of a quantized type come out in float32."""
        kind = self._type(request.tensor)
        shape = (request.rows, *self.shapes[request.tensor][1:])
        if kind in _FLOATS:
            words, dtype = _FLOATS[kind]
            rows = mx.array(np.frombuffer(data, words)).view(dtype).reshape(shape)
        else:
            from gguf.quants import dequantize

            kind_of_block = self._tensors[_gguf_name(request.tensor)].entry.tensor_type
            blocks = np.frombuffer(data, np.uint8).reshape(shape[0], -1)
            rows = mx.array(dequantize(blocks, kind_of_block)).reshape(shape)
        return permute(rows, self.config.head_dim) if is_permuted(request.tensor) else rows

    def _type(self, tensor: str) -> str:
        return str(self._tensors[_gguf_name(tensor)].entry.tensor_type.name)

    def _row_bytes(self, tensor: str) -> int:
        return int(self._tensors[_gguf_name(tensor)].entry.n_bytes) // self.shapes[tensor][0]

    def _check(self) -> None:
        """Every tensor there, of the right shape, and none that would change the computation."""
        wanted = {_gguf_name(name): shape for name, shape in self.shapes.items()}
        problems = [f"missing: {name}" for name in wanted if name not in self._tensors]
        problems += [f"not part of the model: {n}" for n in self._tensors if n not in wanted]
        for name, shape in wanted.items():
            if name in self._tensors:
                # GGUF counts dimensions from the innermost.
                found = tuple(int(size) for size in reversed(self._tensors[name].entry.shape))
                if found != shape:
                    problems.append(f"of the wrong shape: {name} {found} instead of {shape}")
        if problems:
            more = f" and {len(problems) - 6} more" if len(problems) > 6 else ""
            raise CheckpointError(
                f"{self._path} does not hold a Mistral: {'; '.join(problems[:6])}{more}."
            )


def _config(fields: dict[str, Any], tensors: Mapping[str, GgufTensor], path: Path) -> ModelConfig:
    def required(key: str) -> Any:
        if fields.get(key) is None:
            raise CheckpointError(f"{path} has no {key}. Fetch it again; it is never guessed.")
        return fields[key]

    kind = required("general.architecture")
    if kind not in _ARCHITECTURES:
        raise CheckpointError(
            f"{path}: general.architecture is {kind!r}, and a Mistral is stored as "
            f"{' or '.join(map(repr, _ARCHITECTURES))}. Use a Magistral Small file."
        )
    for key in _FOREIGN:
        if fields.get(f"{kind}.{key}") not in (None, "none", 0):
            found = fields[f"{kind}.{key}"]
            raise CheckpointError(f"{path}: {kind}.{key} is {found!r}, which is not computed here.")
    heads, dim = required(f"{kind}.attention.head_count"), required(f"{kind}.embedding_length")
    return ModelConfig(
        dim=dim,
        n_layers=required(f"{kind}.block_count"),
        # Left out where it is dim / heads; Magistral's 128 is not and is written.
        head_dim=fields.get(f"{kind}.attention.key_length") or dim // heads,
        hidden_dim=required(f"{kind}.feed_forward_length"),
        n_heads=heads,
        n_kv_heads=fields.get(f"{kind}.attention.head_count_kv") or heads,
        vocab_size=fields.get(f"{kind}.vocab_size") or len(required("tokenizer.ggml.tokens")),
        rope_theta=_decimal(required(f"{kind}.rope.freq_base")),
        norm_eps=_decimal(required(f"{kind}.attention.layer_norm_rms_epsilon")),
        max_position_embeddings=fields.get(f"{kind}.context_length"),
        tie_word_embeddings="output.weight" not in tensors,
    )


def _decimal(value: float) -> float:
    """The number that was meant: GGUF keeps 1e-5 in float32, as 9.999999747378752e-06."""
    if not math.isfinite(value):
        raise CheckpointError(f"A constant of the GGUF file is {value}.")
    return float(f"{value:.7g}")


def _gguf_name(name: str) -> str:
    if name in _TOP_NAMES:
        return _TOP_NAMES[name]
    _, _, layer, module = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{_LAYER_NAMES[module]}.weight"
