"""GGUF files of one random model, in every type that the gguf package writes, whole and in parts.

The reference is transformers' own reader of GGUF; for architecture mistral3, which it does not
read, the same weights under architecture llama.
"""

import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q5_0", "Q5_1", "Q4_0", "Q4_1", "TQ1_0", "TQ2_0", "MXFP4")
# transformers reads these; of another, what it reads of the decoded weights in F32.
_READ_BY_TRANSFORMERS = {"F32", "F16", "BF16", "Q8_0", "Q5_0", "Q5_1", "Q4_0", "Q4_1"}
_DIM, _HIDDEN, _VOCAB, _LAYERS, _HEADS, _KV_HEADS, _HEAD = 256, 512, 320, 3, 4, 2, 128
_SHAPES = {
    "attn_q": (_HEADS * _HEAD, _DIM),
    "attn_k": (_KV_HEADS * _HEAD, _DIM),
    "attn_v": (_KV_HEADS * _HEAD, _DIM),
    "attn_output": (_DIM, _HEADS * _HEAD),
    "ffn_gate": (_HIDDEN, _DIM),
    "ffn_up": (_HIDDEN, _DIM),
    "ffn_down": (_DIM, _HIDDEN),
}


def write_all(root: Path, tokens: list[list[int]]) -> None:
    """Each layout is a folder with the file in it and logits.npy beside."""
    for kind in TYPES:
        folder = root / f"type {kind}"
        path = _write(folder / "model.gguf", kind)
        read = path if kind in _READ_BY_TRANSFORMERS else _decoded(folder, kind)
        _save_logits(folder, read, tokens)
    plain = root / "type F16"
    for title, name, options in (
        ("architecture mistral3", "model.gguf", {"architecture": "mistral3"}),
        ("in parts", "model.gguf", {"tensors_a_part": 9}),
        ("named .GGUF", "model.GGUF", {}),
        ("without a suffix, as ollama keeps it", f"sha256-{'0' * 64}", {}),
    ):
        written = root / title / "written.gguf"
        _write(written, "F16", **options)
        if name != "model.gguf":
            written.rename(written.with_name(name))
        shutil.copy(plain / "logits.npy", root / title / "logits.npy")
    for title, options in (
        ("architecture mistral3 with yarn", {"architecture": "mistral3", "has_yarn": True}),
        ("architecture qwen2", {"architecture": "qwen2"}),
    ):
        _write(root / title / "model.gguf", "F16", **options)
    for number in (41, 42, 156):
        path = _write(root / f"type number {number}" / "model.gguf", "F16")
        _set_type(path, b"blk.0.ffn_down.weight", number)


def _weights() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (_VOCAB, _DIM), "output": (_VOCAB, _DIM)}
    shapes["output_norm"] = (_DIM,)
    for layer in range(_LAYERS):
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in _SHAPES.items()}
        shapes |= {f"blk.{layer}.{norm}": (_DIM,) for norm in ("attn_norm", "ffn_norm")}
    return {
        f"{name}.weight": (
            generator.standard_normal(shape) * (0.1 if len(shape) == 1 else shape[-1] ** -0.5)
            + (len(shape) == 1)
        ).astype(np.float32)
        for name, shape in shapes.items()
    }


def _write(
    path: Path,
    kind: str,
    *,
    architecture: str = "llama",
    tensors_a_part: int = 0,
    has_yarn: bool = False,
    decodes: str | None = None,
) -> Path:
    """Matrices in type ``kind``; with ``decodes``, as that type leaves them."""
    path.parent.mkdir(parents=True)
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=tensors_a_part)
    writer.add_embedding_length(_DIM)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_key_length(_HEAD)
    writer.add_rope_dimension_count(_HEAD)
    writer.add_vocab_size(_VOCAB)
    writer.add_context_length(1024)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    if has_yarn:
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    for name, values in _weights().items():
        type_name = kind if values.ndim == 2 else "F32"
        if decodes is not None and values.ndim == 2:
            through = gguf.GGMLQuantizationType[decodes]
            values = gguf.dequantize(gguf.quantize(values, through), through)
        quantization = gguf.GGMLQuantizationType[type_name]
        writer.add_tensor(name, gguf.quantize(values, quantization), raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _decoded(folder: Path, kind: str) -> Path:
    return _write(folder / "decoded" / "model.gguf", "F32", decodes=kind)


def _save_logits(folder: Path, path: Path, tokens: list[list[int]]) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()
    with torch.no_grad():
        np.save(folder / "logits.npy", model(torch.tensor(tokens)).logits.numpy())
    shutil.rmtree(folder / "decoded", ignore_errors=True)


def _set_type(path: Path, name: bytes, number: int) -> None:
    """Another type for a tensor: after its name come a count, two dimensions, and the type."""
    content = bytearray(path.read_bytes())
    at = content.index(name) + len(name) + 4 + 16
    content[at : at + 4] = number.to_bytes(4, "little")
    path.write_bytes(content)
