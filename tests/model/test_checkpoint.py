"""Kinds are told apart by content, and a checkpoint says exactly what is where."""

import json
import shutil
from pathlib import Path

import mlx.core as mx
import pytest
from model.builders import SMALL, edit_json, random_weights, write_hf, write_native

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.checkpoint import Kind, open_checkpoint
from mlx_magistral.model.names import expected_shapes
from mlx_magistral.model.weights import load_model

VISION = {
    "vision_tower.patch_conv.weight": mx.zeros((4, 4)),
    "multi_modal_projector.linear_1.weight": mx.zeros((4, 4)),
}


@pytest.mark.parametrize("write", [write_hf, write_native])
@pytest.mark.parametrize("shards", [1, 3])
def test_tensors_are_in_model_order_and_where_they_say(write, shards: int, tmp_path: Path) -> None:
    weights = random_weights(SMALL, mx.bfloat16)
    checkpoint = open_checkpoint(write(tmp_path, SMALL, weights, shards=shards))
    assert list(checkpoint.tensors) == list(expected_shapes(SMALL))
    assert checkpoint.nbytes == sum(value.nbytes for value in weights.values())
    raw = {}
    for file in {info.file for info in checkpoint.tensors.values()}:
        raw |= mx.load(str(file))
    for name, info in checkpoint.tensors.items():
        assert mx.array_equal(checkpoint.read(name), weights[name])
        stored = info.file.read_bytes()[info.start : info.start + info.nbytes]
        assert stored == bytes(memoryview(mx.contiguous(raw[info.source_name]).view(mx.uint8)))
    assert all(mx.array_equal(value, weights[name]) for name, value in checkpoint.read_all())


def test_kind_is_told_by_content(tmp_path: Path) -> None:
    assert open_checkpoint(write_native(tmp_path / "hf")).kind is Kind.NATIVE
    assert open_checkpoint(write_hf(tmp_path / "native")).kind is Kind.HF


def test_converted_folder_has_params_json_and_is_hf(tmp_path: Path) -> None:
    write_hf(tmp_path)
    (tmp_path / "params.json").write_text(json.dumps(SMALL.to_params()))
    assert open_checkpoint(tmp_path).kind is Kind.HF


class TestBothKindsInOneFolder:
    def test_hf_is_taken(self, tmp_path: Path) -> None:
        write_native(write_hf(tmp_path))
        checkpoint = open_checkpoint(tmp_path)
        assert checkpoint.kind is Kind.HF
        assert checkpoint.passed_over == "The native weights in the same folder are not used."

    def test_native_is_taken_where_the_hf_config_is_incomplete(self, tmp_path: Path) -> None:
        write_native(write_hf(tmp_path))
        edit_json(tmp_path / "config.json", rope_theta=None, rope_parameters=None)
        checkpoint = open_checkpoint(tmp_path)
        assert checkpoint.kind is Kind.NATIVE
        assert checkpoint.passed_over and "rope_theta" in checkpoint.passed_over

    def test_native_is_taken_where_an_hf_shard_is_missing(self, tmp_path: Path) -> None:
        write_native(write_hf(tmp_path, shards=3))
        (tmp_path / "model-00002-of-00003.safetensors").unlink()
        assert open_checkpoint(tmp_path).kind is Kind.NATIVE

    def test_both_reasons_are_given_where_neither_serves(self, tmp_path: Path) -> None:
        write_native(write_hf(tmp_path))
        edit_json(tmp_path / "config.json", hidden_size=None)
        edit_json(tmp_path / "params.json", norm_eps=None)
        with pytest.raises(CheckpointError, match=r"(?s)no hidden_size.*no norm_eps"):
            open_checkpoint(tmp_path)


@pytest.mark.parametrize("prefix", ["language_model.", "model.language_model."])
def test_text_model_of_a_multimodal_checkpoint(prefix: str, tmp_path: Path) -> None:
    weights = random_weights(SMALL)
    plain = write_hf(tmp_path / "plain", SMALL, weights)
    renamed = {
        prefix + (name.removeprefix("model.") if prefix.startswith("model.") else name): value
        for name, value in weights.items()
        if name != "lm_head.weight"
    }
    head = "lm_head.weight" if prefix.startswith("model.") else "language_model.lm_head.weight"
    folder = write_hf(
        tmp_path / "multimodal", SMALL, {**renamed, head: weights["lm_head.weight"], **VISION}
    )
    content = {"model_type": "mistral3", "text_config": SMALL.to_hf(), "vision_config": {"a": 1}}
    (folder / "config.json").write_text(json.dumps(content))
    assert open_checkpoint(folder).skipped == tuple(sorted(VISION))
    tokens = mx.array([[1, 2, 3]])
    assert mx.array_equal(load_model(folder).model(tokens), load_model(plain).model(tokens))


def test_native_vision_encoder_is_skipped(tmp_path: Path) -> None:
    write_native(tmp_path)
    edit_json(tmp_path / "params.json", vision_encoder={"hidden_size": 4})
    file = str(tmp_path / "consolidated.safetensors")
    weights = {**mx.load(file), "vision_encoder.patch_conv.weight": mx.zeros((2, 2))}
    mx.eval(weights)
    mx.save_safetensors(file, weights)
    assert open_checkpoint(tmp_path).skipped == ("vision_encoder.patch_conv.weight",)


def test_opening_reads_headers_alone(tmp_path: Path) -> None:
    """A sparse 8 GB file stands for the 47 GB one: a reader that touched it all would show."""
    config = SMALL
    weights = random_weights(config)
    write_hf(tmp_path, config, weights)
    header, start = {}, 0
    big = (1 << 16, 1 << 15)
    for name, shape in {**expected_shapes(config), "vision_tower.big": big}.items():
        nbytes = 4
        for size in shape:
            nbytes *= size
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, start + nbytes]}
        start += nbytes
    text = json.dumps(header).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + start)
    before = mx.get_active_memory()
    checkpoint = open_checkpoint(tmp_path)
    value = checkpoint.read("model.norm.weight")
    mx.eval(value)
    assert mx.get_active_memory() - before < 1e5
    assert mx.array_equal(value, mx.zeros(config.dim))


def test_folder_may_be_a_text(tmp_path: Path) -> None:
    shutil.copytree(write_hf(tmp_path / "a"), tmp_path / "b")
    assert open_checkpoint(str(tmp_path / "b")).kind is Kind.HF
