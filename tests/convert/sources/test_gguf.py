"""GGUF files as a source: every type the gguf package writes, K-quants against naive decoders."""

import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from click.testing import CliRunner

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.gguf import _gguf_name
from magistral_convert.sources.kinds import open_source, resolve_source
from magistral_convert.sources.layer_weights import read_tensor
from magistral_convert.sources.source import BlockRequest
from mlx_magistral.cli.main import main
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
    parts = changes.get("tensors_a_part", 0)
    writer = gguf.GGUFWriter(path, changes.get("architecture", "llama"), split_max_tensors=parts)
    writer.add_embedding_length(_DIM)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_key_length(_HEAD)
    writer.add_vocab_size(_VOCAB)
    writer.add_context_length(512)
    writer.add_layer_norm_rms_eps(1e-5)
    if "scaling" in changes:
        writer.add_rope_scaling_type(changes["scaling"])
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


def _same(one: Path, other: Path) -> bool:
    """Whether two sources have the same tensors and configuration."""
    a, b = open_source(one), open_source(other)
    return a.config == b.config and all(
        mx.array_equal(read_tensor(a, name), read_tensor(b, name)) for name in a.shapes
    )


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


_BLOCK_BYTES = {
    "Q2_K": 84,
    "Q3_K": 110,
    "IQ1_S": 50,
    "IQ1_M": 56,
    "IQ2_XXS": 66,
    "IQ2_XS": 74,
    "IQ2_S": 82,
    "IQ3_XXS": 98,
    "IQ3_S": 110,
    "IQ4_XS": 136,
    "TQ1_0": 54,
    "TQ2_0": 66,
    "IQ4_NL": 8 * 18,
    "MXFP4": 8 * 17,
    "NVFP4": 4 * 36,
}


def test_every_type_gguf_decodes_is_read(tmp_path: Path) -> None:
    """One matrix of each, of random bytes, against the package's own decoding of the whole."""
    generator = np.random.default_rng(5)
    raw, expected = {}, {}
    names = [f"blk.{layer}.{name}.weight" for layer in range(_LAYERS) for name in _MATRICES]
    for (kind, nbytes), name in zip(_BLOCK_BYTES.items(), [*names, "output.weight"], strict=True):
        rows, width = _MATRICES.get(name.split(".")[-2], (_VOCAB, _DIM))
        # Below 0x3C every half is finite.
        data = generator.integers(0, 0x3C, (rows, width // 256 * nbytes), dtype=np.uint8)
        raw[name] = (data, kind)
        expected[name] = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind])
    path = tmp_path / "model.gguf"
    _write(path, "F16", raw)
    source = open_source(path)
    for name, wanted in expected.items():
        module = name.removesuffix(".weight").split(".")[-1]
        if module in ("attn_q", "attn_k"):
            wanted = _naively_permuted(wanted)
        (hf,) = [each for each in source.shapes if _gguf_name(each) == name]
        found = np.array(read_tensor(source, hf))
        assert np.array_equal(found, wanted), raw[name][1]


class TestFiles:
    """A GGUF model as llama.cpp and ollama leave it."""

    def test_of_architecture_mistral3_is_a_mistral(self, tmp_path: Path) -> None:
        _write(tmp_path / "a.gguf", "F16")
        none = gguf.RopeScalingType.NONE
        _write(tmp_path / "b.gguf", "F16", architecture="mistral3", scaling=none)
        assert _same(tmp_path / "a.gguf", tmp_path / "b.gguf")

    def test_of_architecture_mistral3_with_yarn_is_refused(self, tmp_path: Path) -> None:
        yarn = gguf.RopeScalingType.YARN
        _write(tmp_path / "a.gguf", "F16", architecture="mistral3", scaling=yarn)
        with pytest.raises(CheckpointError, match="mistral3.rope.scaling.type is 'yarn'"):
            open_source(tmp_path / "a.gguf")

    def test_in_parts_is_one_model_whichever_is_named(self, tmp_path: Path) -> None:
        _write(tmp_path / "whole.gguf", "F16")
        _write(tmp_path / "split.gguf", "F16", tensors_a_part=9)
        parts = sorted(tmp_path.glob("split-*.gguf"))
        assert [part.name for part in parts][0] == "split-00001-of-00003.gguf"
        for part in parts:
            assert _same(tmp_path / "whole.gguf", part)
        files = open_source(parts[1]).description["files"]
        assert list(files) == [part.name for part in parts]
        parts[2].unlink()
        with pytest.raises(CheckpointError, match="is one of 3 parts, and split-00003-of-00003"):
            open_source(parts[0])

    @pytest.mark.parametrize("name", ["model.GGUF", f"sha256-{'0' * 64}"])
    def test_under_other_names(self, tmp_path: Path, name: str) -> None:
        _write(tmp_path / "a.gguf", "F16")
        shutil.copy(tmp_path / "a.gguf", tmp_path / name)
        assert _same(tmp_path / "a.gguf", tmp_path / name)
        assert resolve_source(str(tmp_path / name)).config.head_dim == _HEAD

    @pytest.mark.parametrize(
        ("kind", "block_bytes"), [("Q1_0", 2 * 18), ("Q8_K", 292), ("F64", 256 * 8)]
    )
    def test_of_a_type_without_a_decoder_is_refused_by_its_name(
        self, tmp_path: Path, kind: str, block_bytes: int
    ) -> None:
        data = np.zeros((_DIM, 2 * block_bytes), np.uint8)
        if kind == "F64":
            data = np.zeros((_DIM, _HIDDEN))
        path = tmp_path / "a.gguf"
        _write(path, "F16", {"blk.0.ffn_down.weight": (data, kind)})
        with pytest.raises(CheckpointError, match=f"blk.0.ffn_down.weight is stored as {kind}"):
            open_source(path)

    @pytest.mark.parametrize("number", [42, 156])
    def test_of_a_type_without_a_name_is_refused_by_its_number(
        self, tmp_path: Path, number: int
    ) -> None:
        _write(tmp_path / "a.gguf", "F16")
        content = bytearray((tmp_path / "a.gguf").read_bytes())
        name = b"blk.0.ffn_down.weight"
        # Name, count of dimensions, two dimensions, and then the type.
        at = content.index(name) + len(name) + 4 + 16
        content[at : at + 4] = number.to_bytes(4, "little")
        (tmp_path / "a.gguf").write_bytes(content)
        with pytest.raises(CheckpointError, match=f"stores weights in type {number}, which"):
            open_source(tmp_path / "a.gguf")


def test_commands_that_take_no_gguf_say_how_to_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "magistral.gguf"
    _write(path, "F16")
    for arguments in (["generate", "x", "-m"], ["show"], ["fit"]):
        result = CliRunner().invoke(main, [*arguments, str(path)])
        assert result.exit_code == 1 and result.stderr.count("\n") == 1
        assert f"mlx-magistral convert {path} magistral-4bit --bits 4" in result.stderr


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
