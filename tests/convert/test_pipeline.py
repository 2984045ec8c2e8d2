"""Whole conversions of tiny checkpoints: what comes out, and that mlx-lm agrees."""

import json
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral.errors import CheckpointError, ConversionError
from mlx_magistral.model.weights import load_model
from tests.convert.tiny_checkpoints import hf_weights, native_weights, write_hf, write_native

FORMATS = [(4, 32), (4, 64), (4, 128), (6, 32), (6, 64), (6, 128), (8, 32), (8, 64), (8, 128)]


def _tokens() -> mx.array:
    return mx.array([[1, 17, 80, 33, 191, 5, 64, 2]])


def _convert(source: Path, output: Path, recipe: Recipe, **options: object) -> Path:
    convert_checkpoint(open_source(source), output, recipe, **options)  # type: ignore[arg-type]
    return output


@pytest.mark.parametrize(("bits", "group_size"), [*FORMATS, (16, 64)])
def test_mlx_lm_loads_it_with_our_logits(
    native_folder: Path, tmp_path: Path, bits: int, group_size: int
) -> None:
    from mlx_lm.utils import load_model as load_with_mlx_lm

    folder = _convert(native_folder, tmp_path / "out", Recipe(bits, group_size))
    theirs, config = load_with_mlx_lm(folder)
    ours, _ = load_model(folder)
    expected = theirs(_tokens()).astype(mx.float32)
    actual = ours(_tokens()).astype(mx.float32)
    assert float(mx.max(mx.abs(actual - expected))) <= 2e-2 * float(mx.max(mx.abs(expected)))
    assert config["tie_word_embeddings"] is False
    if bits == 16:
        assert "quantization" not in config
    else:
        assert config["quantization"] == {"bits": bits, "group_size": group_size, "mode": "affine"}
        assert config["quantization_config"] == config["quantization"]


def test_native_and_hf_sources_give_the_same_weights(
    native_folder: Path, hf_folder: Path, tmp_path: Path
) -> None:
    one = _load_shards(_convert(native_folder, tmp_path / "one", Recipe(4)))
    other = _load_shards(_convert(hf_folder, tmp_path / "other", Recipe(4)))
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert mx.array_equal(array, other[name]), name


def test_sixteen_bits_keep_every_weight(native_folder: Path, tmp_path: Path) -> None:
    stored = _load_shards(_convert(native_folder, tmp_path / "out", Recipe(16)))
    expected = hf_weights(native_weights())
    assert stored.keys() == expected.keys()
    for name, array in expected.items():
        assert stored[name].dtype == mx.bfloat16
        assert mx.array_equal(stored[name], array), name


@pytest.mark.parametrize("dtype", [mx.float16, mx.float32])
def test_other_float_sources(dtype: mx.Dtype, tmp_path: Path) -> None:
    source = write_hf(tmp_path / "source", hf_weights(native_weights(dtype)))
    stored = _load_shards(_convert(source, tmp_path / "out", Recipe(16, dtype="float16")))
    expected = hf_weights(native_weights(dtype))
    for name, array in stored.items():
        assert array.dtype == mx.float16
        assert mx.array_equal(array, expected[name].astype(mx.float16)), name


def test_shards_hold_whole_layers_and_the_index_names_them(
    native_folder: Path, tmp_path: Path
) -> None:
    many = _convert(native_folder, tmp_path / "many", Recipe(8), shard_bytes=1)
    shards = sorted(path.name for path in many.glob("*.safetensors"))
    assert shards == [f"model-{number:05d}-of-00005.safetensors" for number in range(1, 6)]
    index = json.loads((many / "model.safetensors.index.json").read_text())["weight_map"]
    for shard in shards:
        names = set(mx.load(str(many / shard)))
        assert names == {name for name, file in index.items() if file == shard}
    single = _load_shards(_convert(native_folder, tmp_path / "single", Recipe(8)))
    together = _load_shards(many)
    assert all(mx.array_equal(single[name], together[name]) for name in single)


def test_side_files_are_there(native_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(native_folder, source)
    (source / "tekken.json").write_text("{}")
    (source / "SYSTEM_PROMPT.txt").write_text("Think.")
    out = _convert(source, tmp_path / "out", Recipe(4))
    assert (out / "SYSTEM_PROMPT.txt").read_text() == "Think."
    assert (out / "tekken.json").read_text() == "{}"
    assert json.loads((out / "generation_config.json").read_text())["temperature"] == 0.7
    assert json.loads((out / "params.json").read_text())["head_dim"] == 64
    card = (out / "README.md").read_text()
    assert "4-bit affine, groups of 64" in card
    assert "mlx-magistral compare SOURCE FOLDER" in card
    assert not (tmp_path / "out.partial").exists()


def test_requantizing_an_mlx_folder_warns(native_folder: Path, tmp_path: Path) -> None:
    eight = _convert(native_folder, tmp_path / "eight", Recipe(8))
    source = open_source(eight)
    assert "quantized already" in source.warnings[0]
    four = _load_shards(_convert(eight, tmp_path / "four", Recipe(4)))
    direct = _load_shards(_convert(native_folder, tmp_path / "direct", Recipe(4)))
    assert four.keys() == direct.keys()
    for name in ("lm_head", "model.layers.1.self_attn.q_proj"):
        one, other = (_dequantize(tensors, name, 4) for tensors in (four, direct))
        assert float(mx.mean(mx.abs(one - other))) < 0.02


def test_the_report_measures_this_process(native_folder: Path, tmp_path: Path) -> None:
    report = convert_checkpoint(open_source(native_folder), tmp_path / "out", Recipe(4))
    assert report.peak_memory_bytes > 10_000_000
    assert 0.01 < report.worst_error < 0.2
    assert report.bits_per_weight == pytest.approx(4.5, abs=0.1)
    assert report.shards_resumed == 0


def test_an_existing_output_is_refused(native_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ConversionError, match="exists already"):
        _convert(native_folder, tmp_path / "out", Recipe(4))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_output_below_a_file_is_refused(native_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConversionError, match="cannot be written"):
        _convert(native_folder, tmp_path / "file" / "out", Recipe(4))


def test_groups_must_divide_the_columns(tmp_path: Path, native_folder: Path) -> None:
    weights = native_weights()
    source = write_native(tmp_path / "source", weights)
    params = json.loads((source / "params.json").read_text())
    for layer in range(3):
        for name, shape in (("w1", (96, 128)), ("w3", (96, 128)), ("w2", (128, 96))):
            weights[f"layers.{layer}.feed_forward.{name}.weight"] = mx.zeros(shape, mx.bfloat16)
    (source / "params.json").write_text(json.dumps({**params, "hidden_dim": 96}))
    mx.save_safetensors(str(source / "consolidated.safetensors"), weights)
    with pytest.raises(ConversionError, match=r"down_proj\.weight has 96 columns"):
        _convert(source, tmp_path / "out", Recipe(4, 64))
    _convert(source, tmp_path / "out", Recipe(4, 32))


def test_a_full_disk_is_known_before_it_starts(
    native_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ConversionError, match=r"1\.00 MB free and .* needs 67\.\d\d MB"):
        _convert(native_folder, tmp_path / "out", Recipe(4))


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("bits", [4, 16])
def test_a_value_that_is_no_number_names_its_tensor(
    tmp_path: Path, value: float, bits: int
) -> None:
    weights = native_weights()
    weights["layers.1.attention.wv.weight"][3, 5] = value
    source = write_native(tmp_path / "source", weights)
    with pytest.raises(ConversionError, match=r"layers\.1\.self_attn\.v_proj\.weight holds NaN"):
        _convert(source, tmp_path / "out", Recipe(bits))
    assert not (tmp_path / "out").exists()


def test_a_value_beyond_float16_says_what_to_choose(tmp_path: Path) -> None:
    weights = native_weights()
    weights["norm.weight"][3] = 1e6
    source = write_native(tmp_path / "source", weights)
    with pytest.raises(ConversionError, match=r"model\.norm\.weight has values .*--dtype bfloat16"):
        _convert(source, tmp_path / "out", Recipe(4, dtype="float16"))


def test_a_missing_shard_is_named(hf_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(hf_folder, source)
    (source / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model-00002-of-00002"):
        open_source(source)


def test_a_source_cut_while_it_is_read_is_named(native_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(native_folder, source)
    opened = open_source(source)
    file = source / "consolidated.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ConversionError, match=r"consolidated\.safetensors ends inside"):
        convert_checkpoint(opened, tmp_path / "out", Recipe(4))


def test_a_tokenizer_may_come_from_elsewhere(native_folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other.json"
    elsewhere.write_text('{"config": {}}')
    out = _convert(native_folder, tmp_path / "out", Recipe(4), tokenizer=elsewhere)
    assert (out / "tekken.json").read_bytes() == elsewhere.read_bytes()


def _load_shards(folder: Path) -> dict[str, mx.array]:
    return {
        name: array
        for path in folder.glob("*.safetensors")
        for name, array in mx.load(str(path)).items()
    }


def _dequantize(tensors: dict[str, mx.array], module: str, bits: int) -> mx.array:
    packed, scales, biases = (tensors[f"{module}.{p}"] for p in ("weight", "scales", "biases"))
    return mx.dequantize(packed, scales, biases, group_size=64, bits=bits).astype(mx.float32)


def test_errors_in_the_manifest_are_the_measured_ones(native_folder: Path, tmp_path: Path) -> None:
    out = _convert(native_folder, tmp_path / "out", Recipe(4))
    records = json.loads((out / "conversion.json").read_text())["shards"]
    stored, exact = _load_shards(out), hf_weights(native_weights())
    for record in records.values():
        for name, tensor in record["tensors"].items():
            if tensor["bits"] == 4:
                module = name.removesuffix(".weight")
                source = np.array(exact[name].astype(mx.float32))
                packed, scales, biases = (stored[f"{module}.{p}"] for p in tensor_parts())
                grid = (scales.astype(mx.float32), biases.astype(mx.float32))
                value = np.array(mx.dequantize(packed, *grid, group_size=64, bits=4))
                error = np.linalg.norm(value - source) / np.linalg.norm(source)
                assert tensor["error"] == pytest.approx(error, rel=1e-3)


def tensor_parts() -> tuple[str, str, str]:
    return ("weight", "scales", "biases")
