"""GGUF files as a source: every type the gguf package writes, K-quants against naive decoders."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from magistral_convert.sources.layer_weights import read_tensor
from magistral_convert.sources.source import BlockRequest
from mlx_magistral.errors import CheckpointError, ConversionError
from mlx_magistral.model.weights import load_model

gguf = pytest.importorskip("gguf")

_DIM, _HIDDEN, _VOCAB, _LAYERS, _HEADS, _KV_HEADS, _HEAD = 256, 512, 192, 2, 4, 2, 128
_MATRICES = {
    "attn_q": (_HEADS * _HEAD, _DIM),
    "attn_k": (_KV_HEADS * _HEAD, _DIM),
    "attn_v": (_KV_HEADS * _HEAD, _DIM),
    "attn_output": (_DIM, _HEADS * _HEAD),
    "ffn_gate": (_HIDDEN, _DIM),
    "ffn_up": (_HIDDEN, _DIM),
    "ffn_down": (_DIM, _HIDDEN),
}
_HF = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "ffn_down": "mlp.down_proj",
}


def _weights() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (_VOCAB, _DIM), "output": (_VOCAB, _DIM)}
    shapes["output_norm"] = (_DIM,)
    for layer in range(_LAYERS):
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in _MATRICES.items()}
        shapes |= {f"blk.{layer}.{norm}": (_DIM,) for norm in ("attn_norm", "ffn_norm")}
    return {
        f"{name}.weight": (generator.standard_normal(shape) * 0.1 + (len(shape) == 1)).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


def _write(
    path: Path, kind: str, raw: dict[str, tuple[np.ndarray, str]] | None = None, **changes: object
) -> dict[str, np.ndarray]:
    """Write a random model whose matrices are of one type; return what each should decode to."""
    writer = gguf.GGUFWriter(path, changes.get("architecture", "llama"))
    writer.add_embedding_length(_DIM)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_key_length(_HEAD)
    writer.add_vocab_size(_VOCAB)
    writer.add_context_length(512)
    writer.add_layer_norm_rms_eps(1e-5)
    if changes.get("has_theta", True):
        writer.add_rope_freq_base(1e9)
    expected = {}
    for name, values in _weights().items():
        if name == changes.get("left_out"):
            continue
        type_name = kind if values.ndim == 2 else "F32"
        if raw and name in raw:
            data, type_name = raw[name]
            writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[type_name])
            continue
        quantization = gguf.GGMLQuantizationType[type_name]
        data = gguf.quants.quantize(values, quantization)
        expected[name] = gguf.quants.dequantize(data, quantization)
        writer.add_tensor(name, data, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


def _naively_permuted(rows: np.ndarray) -> np.ndarray:
    order = [
        first + 2 * pair + half
        for first in range(0, len(rows), _HEAD)
        for half in (0, 1)
        for pair in range(_HEAD // 2)
    ]
    return rows[order]


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_every_type_gguf_writes_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.gguf"
    expected = _write(path, kind)
    source = open_source(path)
    assert source.config.head_dim == _HEAD
    assert source.config.rope_theta == 1e9
    assert source.config.norm_eps == 1e-5
    assert bool(source.warnings) == kind.startswith("Q")
    for name, hf in _HF.items():
        wanted = expected[f"blk.1.{name}.weight"]
        if name in ("attn_q", "attn_k"):
            wanted = _naively_permuted(wanted)
        found = read_tensor(source, f"model.layers.1.{hf}.weight").astype(mx.float32)
        assert np.array_equal(np.array(found), wanted), name


def test_blocks_of_rows_equal_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    _write(path, "Q8_0")
    source = open_source(path)
    name = "model.layers.0.self_attn.q_proj.weight"
    assert source.row_step(name) == _HEAD
    requests = [BlockRequest(name, start, start + _HEAD) for start in range(0, 512, _HEAD)]
    parts = [source.decode(request, source.read(request)) for request in requests]
    assert mx.array_equal(mx.concatenate(parts), read_tensor(source, name))


def test_a_converted_gguf_computes_what_transformers_does(tmp_path: Path) -> None:
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    _write(tmp_path / "model.gguf", "Q8_0")
    source = open_source(tmp_path / "model.gguf")
    convert_checkpoint(source, tmp_path / "out", Recipe(16))
    config = MistralConfig(**{**source.config.to_hf(), "attn_implementation": "eager"})
    reference = MistralForCausalLM(config).eval()
    # What was stored is bfloat16; the product is compared in float32 on both sides.
    state = {
        name: torch.from_numpy(
            np.array(read_tensor(source, name).astype(mx.bfloat16).astype(mx.float32))
        )
        for name in source.shapes
    }
    reference.load_state_dict(state)
    tokens = [[1, 7, 100, 33, 150]]
    with torch.no_grad():
        expected = reference(torch.tensor(tokens)).logits.numpy()
    model = load_model(tmp_path / "out").model
    model.set_dtype(mx.float32)
    actual = np.array(model(mx.array(tokens)))
    assert np.abs(actual - expected).max() < 1e-4 * np.abs(expected).max() + 1e-4


def _halves(*values: float) -> bytes:
    return np.array(values, np.float16).tobytes()


def _scale_min(q: bytes, j: int) -> tuple[int, int]:
    if j < 4:
        return q[j] & 63, q[j + 4] & 63
    high_scale, high_min = q[j - 4] >> 6, q[j] >> 6
    return (q[j + 4] & 15) | (high_scale << 4), (q[j + 4] >> 4) | (high_min << 4)


def _naive_q4_q5(block: bytes, has_fifth_bit: bool) -> list[float]:
    d, least = np.frombuffer(block[:4], np.float16).astype(float)
    scales, at = block[4:16], 16 + (32 if has_fifth_bit else 0)
    high, low = block[16:48], block[at:]
    values = []
    for group in range(8):
        scale, minimum = _scale_min(scales, group)
        for column in range(32):
            nibble = low[group // 2 * 32 + column] >> (4 * (group % 2)) & 15
            fifth = (high[column] >> group & 1) << 4 if has_fifth_bit else 0
            values.append(d * scale * (nibble + fifth) - least * minimum)
    return values


def _naive_q6(block: bytes) -> list[float]:
    low, high = block[:128], block[128:192]
    scales = np.frombuffer(block[192:208], np.int8)
    d = float(np.frombuffer(block[208:], np.float16)[0])
    values = [0.0] * 256
    for half in range(2):
        for column in range(32):
            for part in range(4):
                nibble = low[half * 64 + column + 32 * (part % 2)] >> (4 * (part // 2)) & 15
                bits = high[half * 32 + column] >> (2 * part) & 3
                scale = scales[half * 8 + column // 16 + 2 * part]
                place = half * 128 + part * 32 + column
                values[place] = d * scale * ((nibble | bits << 4) - 32)
    return values


@pytest.mark.parametrize(("kind", "nbytes"), [("Q4_K", 144), ("Q5_K", 176), ("Q6_K", 210)])
def test_k_quants_are_read_as_a_naive_decoder_does(tmp_path: Path, kind: str, nbytes: int) -> None:
    generator = np.random.default_rng(3)
    blocks = generator.integers(0, 256, (_DIM, 2, nbytes), dtype=np.uint8)
    if kind == "Q6_K":
        blocks[..., 208:] = np.frombuffer(_halves(0.01), np.uint8)
    else:
        blocks[..., :4] = np.frombuffer(_halves(0.01, 0.02), np.uint8)
    name = "blk.0.ffn_down.weight"
    path = tmp_path / "model.gguf"
    _write(path, "Q8_0", {name: (blocks.reshape(_DIM, 2 * nbytes), kind)})
    found = read_tensor(open_source(path), "model.layers.0.mlp.down_proj.weight")
    for row in (0, 1, _DIM - 1):
        naive: list[float] = []
        for block in blocks[row]:
            data = block.tobytes()
            naive += _naive_q6(data) if kind == "Q6_K" else _naive_q4_q5(data, kind == "Q5_K")
        assert np.allclose(np.array(found[row]), naive, rtol=1e-3, atol=1e-6)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "a.gguf", "F16", left_out="blk.1.ffn_up.weight")
    with pytest.raises(CheckpointError, match=r"missing: blk\.1\.ffn_up\.weight"):
        open_source(tmp_path / "a.gguf")
    _write(tmp_path / "b.gguf", "F16", has_theta=False)
    with pytest.raises(CheckpointError, match=r"no llama\.rope\.freq_base"):
        open_source(tmp_path / "b.gguf")
    _write(tmp_path / "c.gguf", "F16", architecture="qwen2")
    with pytest.raises(CheckpointError, match="'qwen2'"):
        open_source(tmp_path / "c.gguf")
    (tmp_path / "d.gguf").write_bytes(b"GGUF no more")
    with pytest.raises(CheckpointError, match=r"d\.gguf is no sound GGUF file"):
        open_source(tmp_path / "d.gguf")


def test_a_file_cut_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    _write(path, "F16")
    source = open_source(path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ConversionError, match=r"model\.gguf ends inside"):
        convert_checkpoint(source, tmp_path / "out", Recipe(4))
