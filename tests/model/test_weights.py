"""Any kind of folder becomes the same model, and no byte is held twice."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from click.testing import CliRunner
from mlx.utils import tree_flatten
from model.builders import SMALL, edit_json, random_weights, write_hf, write_native

from mlx_magistral.cli.main import main
from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.checkpoint import Kind, open_checkpoint
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.weights import load_model, read_weights

TOKENS = mx.array([[1, 5, 9, 100, 3]])
HEAD_BITS = {"group_size": 32, "bits": 8}


def mixed(path: str, module: Any) -> bool | dict[str, int]:
    """Eight bits for the head, none for one v_proj and the o_proj, the default elsewhere."""
    if path == "lm_head":
        return dict(HEAD_BITS)
    return "layers.1.self_attn.v_proj" not in path and "o_proj" not in path


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16])
@pytest.mark.parametrize("shards", [1, 3])
def test_weights_keep_their_dtype_and_values(dtype: mx.Dtype, shards: int, tmp_path: Path) -> None:
    weights = random_weights(SMALL, dtype)
    folders = [
        write_hf(tmp_path / "hf", SMALL, weights, shards=shards),
        write_native(tmp_path / "native", SMALL, weights, shards=shards),
    ]
    for folder in folders:
        model, config = load_model(folder)
        assert config == SMALL
        loaded = dict(tree_flatten(model.parameters()))
        assert loaded.keys() == weights.keys()
        assert all(loaded[name].dtype == dtype for name in weights)
        assert all(mx.array_equal(loaded[name], weights[name]) for name in weights)


@pytest.mark.parametrize("predicate", [None, mixed], ids=["uniform", "mixed"])
@pytest.mark.parametrize("bits", [4, 6])
def test_loads_what_mlx_lm_quantized(
    bits: int, predicate: Any, tmp_path: Path, mlx_lm_model: Any
) -> None:
    utils = pytest.importorskip("mlx_lm.utils", reason="mlx-lm is in the dev extra")
    source = write_hf(tmp_path / "source", SMALL, random_weights(SMALL, mx.bfloat16))
    config = json.loads((source / "config.json").read_text())
    theirs, config = utils.quantize_model(
        mlx_lm_model(source), config, 32, bits, quant_predicate=predicate
    )
    folder = tmp_path / "quantized"
    utils.save_model(folder, theirs)
    utils.save_config(config, folder / "config.json")

    checkpoint = open_checkpoint(folder)
    assert checkpoint.kind is Kind.QUANTIZED
    assert checkpoint.nbytes == sum(a.nbytes for _, a in tree_flatten(theirs.parameters()))
    ours = load_model(folder).model
    assert ours.lm_head.bits == (bits if predicate is None else 8)
    expected = mlx_lm_model(folder)(TOKENS)
    assert mx.abs(ours(TOKENS) - expected).max() <= 2e-2
    assert ours(TOKENS).dtype == mx.bfloat16


def test_override_that_the_codes_do_not_fit_is_named(tmp_path: Path) -> None:
    folder = quantized_folder(tmp_path)
    table = {"group_size": 32, "bits": 4, "mode": "affine", "lm_head": HEAD_BITS}
    edit_json(folder / "config.json", quantization=table)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight \[128, 8\] instead of \[128, 16\]"):
        load_model(folder)


def test_module_said_to_be_float_must_be(tmp_path: Path) -> None:
    folder = quantized_folder(tmp_path)
    table = {"group_size": 32, "bits": 4, "lm_head": False}
    edit_json(folder / "config.json", quantization=table)
    with pytest.raises(CheckpointError, match=r"lm_head\.scales"):
        load_model(folder)


@pytest.mark.parametrize("lost", ["scales", "biases", "weight"])
def test_part_of_a_quantized_matrix_missing(lost: str, tmp_path: Path) -> None:
    folder = quantized_folder(tmp_path)
    file = folder / "model.safetensors"
    weights = {**mx.load(str(file))}
    mx.eval(weights)
    del weights[f"lm_head.{lost}"]
    mx.save_safetensors(str(file), weights)
    with pytest.raises(CheckpointError, match=rf"missing \(1\): lm_head\.{lost}"):
        load_model(folder)


@pytest.mark.usefixtures("settled")
def test_native_weights_are_held_once(tmp_path: Path) -> None:
    # 44 MB, half of it wq and wk, which loading permutes.
    config = ModelConfig(512, 2, 128, 256, 32, 8, 1024, 1e9, 1e-5, None, False)
    folder = write_native(tmp_path, config, random_weights(config, mx.bfloat16))
    nbytes = open_checkpoint(folder).nbytes
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    model, _ = load_model(folder)
    assert mx.get_peak_memory() - before < 1e5, "mapping reads nothing"
    read_weights(model)
    assert mx.get_active_memory() - before == pytest.approx(nbytes, rel=0.02)
    # One layer's wq and wk may be there in both orders.
    assert mx.get_peak_memory() - before < nbytes * 1.35


def test_two_bits_that_others_made_load_as_in_mlx_lm_and_are_shown(tmp_path: Path) -> None:
    from mlx_lm.utils import load_model as load_with_mlx_lm

    folder = quantized_folder(tmp_path / "two", bits=2)
    tokens = mx.array([[3, 5, 9, 100]])
    theirs, _ = load_with_mlx_lm(folder)
    ours, _ = load_model(folder)
    assert mx.array_equal(ours(tokens), theirs(tokens))
    result = CliRunner().invoke(main, ["show", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    stored = json.loads(result.stdout)["stored_as"]
    assert stored.startswith("2 bits in groups of 32 (16 matrices); fewer than 3 bits")


def quantized_folder(folder: Path, bits: int = 4) -> Path:
    """SMALL in groups of 32, every matrix of it."""
    weights = {}
    for name, value in random_weights(SMALL, mx.bfloat16).items():
        if value.ndim == 1:
            weights[name] = value
            continue
        parts = mx.quantize(value, group_size=32, bits=bits)
        module = name.removesuffix(".weight")
        stored = (name, f"{module}.scales", f"{module}.biases")
        weights |= dict(zip(stored, parts, strict=True))
    table = {"group_size": 32, "bits": bits, "mode": "affine"}
    return write_hf(folder, SMALL, weights, extra_config={"quantization": table})
