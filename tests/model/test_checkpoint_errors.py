"""Every way a folder can be wrong is one CheckpointError that names the file and the tensor."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from model.builders import SMALL, edit_json, random_weights, write_hf, write_native

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.model.weights import load_model

V_PROJ = "model.layers.1.self_attn.v_proj.weight"


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    return str(caught.value)


def with_weights(folder: Path, change: Callable[[dict[str, mx.array]], Any]) -> str:
    weights = random_weights(SMALL)
    change(weights)
    return refusal(write_hf(folder, SMALL, weights))


def rewrite_header(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Put another header before the same data."""
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


class TestFolder:
    def test_absent(self, tmp_path: Path) -> None:
        assert "is not a folder" in refusal(tmp_path / "absent")

    def test_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("hello")
        message = refusal(tmp_path)
        assert "is no model folder" in message and "params.json" in message

    @pytest.mark.parametrize(
        ("name", "advice"),
        [("magistral-Q4_K_M.gguf", "mlx-magistral convert"), ("pytorch_model.bin", "safetensors")],
    )
    def test_of_weights_in_another_form(self, tmp_path: Path, name: str, advice: str) -> None:
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / name).write_text("")
        message = refusal(tmp_path)
        assert f"It has {name}: " in message and advice in message

    def test_with_weights_and_no_config(self, tmp_path: Path) -> None:
        (write_hf(tmp_path) / "config.json").unlink()
        assert "is no model folder" in refusal(tmp_path)

    def test_config_that_is_no_json(self, tmp_path: Path) -> None:
        (write_hf(tmp_path) / "config.json").write_text("{")
        assert "config.json cannot be read" in refusal(tmp_path)

    def test_config_that_is_no_object(self, tmp_path: Path) -> None:
        (write_native(tmp_path) / "params.json").write_text("[]")
        assert "params.json holds no JSON object" in refusal(tmp_path)


class TestTensors:
    def test_missing(self, tmp_path: Path) -> None:
        message = with_weights(tmp_path, lambda weights: weights.pop(V_PROJ))
        assert f"missing (1): {V_PROJ}" in message and str(tmp_path) in message

    def test_extra(self, tmp_path: Path) -> None:
        message = with_weights(tmp_path, lambda weights: weights.update(bias=mx.zeros(3)))
        assert "not part of the model (1): bias" in message

    def test_extra_native_one_keeps_its_name(self, tmp_path: Path) -> None:
        file = str(write_native(tmp_path) / "consolidated.safetensors")
        weights = {**mx.load(file), "layers.7.attention.wq.weight": mx.zeros((2, 2))}
        mx.eval(weights)
        mx.save_safetensors(file, weights)
        assert "layers.7.attention.wq.weight" in refusal(tmp_path)

    def test_of_another_shape(self, tmp_path: Path) -> None:
        message = with_weights(
            tmp_path, lambda weights: weights.update({V_PROJ: mx.zeros((3, 64))})
        )
        assert f"{V_PROJ} [3, 64] instead of [64, 64]" in message

    def test_transposed(self, tmp_path: Path) -> None:
        name = "model.layers.0.mlp.down_proj.weight"
        message = with_weights(tmp_path, lambda w: w.update({name: mx.zeros((96, 64))}))
        assert f"{name} [96, 64] instead of [64, 96]" in message

    @pytest.mark.parametrize("dtype", [mx.int8, mx.uint32, mx.int64])
    def test_of_another_dtype(self, dtype: mx.Dtype, tmp_path: Path) -> None:
        message = with_weights(tmp_path, lambda w: w.update({V_PROJ: mx.zeros((64, 64), dtype)}))
        assert f"{V_PROJ} {'I' if dtype != mx.uint32 else 'U'}{8 * dtype.size}" in message
        assert "instead of BF16 or F16 or F32" in message

    def test_of_8_bit_floats(self, tmp_path: Path) -> None:
        file = write_hf(tmp_path, SMALL, random_weights(SMALL)) / "model.safetensors"

        def as_float8(header: dict[str, Any]) -> None:
            header[V_PROJ] |= {"dtype": "F8_E4M3", "shape": [64, 256]}

        rewrite_header(file, as_float8)
        assert f"{V_PROJ} F8_E4M3 instead of BF16" in refusal(tmp_path)

    def test_all_problems_in_one_error_with_long_lists_counted(self, tmp_path: Path) -> None:
        def ruin(weights: dict[str, mx.array]) -> None:
            for name in list(weights):
                if "mlp" in name or "norm" in name:
                    del weights[name]
            weights["extra"] = mx.zeros(1)
            weights[V_PROJ] = mx.zeros((1, 1))

        message = with_weights(tmp_path, ruin)
        assert "missing (11)" in message and "and 5 more" in message
        assert "extra" in message and "[1, 1] instead of" in message

    def test_stored_twice(self, tmp_path: Path) -> None:
        write_hf(tmp_path, shards=2)
        (tmp_path / "model.safetensors.index.json").unlink()
        mx.save_safetensors(str(tmp_path / "model-2.safetensors"), {V_PROJ: mx.zeros((64, 64))})
        assert f"stored twice (1): {V_PROJ}" in refusal(tmp_path)

    def test_head_missing_where_it_is_not_tied(self, tmp_path: Path) -> None:
        message = with_weights(tmp_path, lambda weights: weights.pop("lm_head.weight"))
        assert "does not tie the head" in message

    def test_another_head_than_the_embedding_it_is_tied_to(self, tmp_path: Path) -> None:
        edit_json(write_hf(tmp_path) / "config.json", tie_word_embeddings=True)
        message = refusal(tmp_path)
        assert "ties the head to the embedding, and lm_head.weight holds other values" in message

    def test_a_head_of_another_dtype_than_the_embedding_it_is_tied_to(self, tmp_path: Path) -> None:
        message = with_weights(
            tmp_path / "a", lambda w: w.update({"lm_head.weight": mx.zeros((3, 64))})
        )
        edit_json(tmp_path / "a" / "config.json", tie_word_embeddings=True)
        assert "[3, 64] instead of" in message
        message = refusal(tmp_path / "a")
        assert "not part of the model (1): lm_head.weight" in message
        assert "ties the head" in message

    def test_quantized_where_the_config_does_not_say_so(self, tmp_path: Path) -> None:
        def quantize_head(weights: dict[str, mx.array]) -> None:
            parts = mx.quantize(weights.pop("lm_head.weight"), group_size=32, bits=4)
            names = ("lm_head.weight", "lm_head.scales", "lm_head.biases")
            weights |= dict(zip(names, parts, strict=True))

        message = with_weights(tmp_path, quantize_head)
        assert "lm_head.scales" in message and "lm_head.weight U32 instead of" in message


class TestFiles:
    @pytest.mark.parametrize("kept", [0, 5, 8, 100, 30_000, -1])
    def test_truncated(self, kept: int, tmp_path: Path) -> None:
        file = write_hf(tmp_path) / "model.safetensors"
        file.write_bytes(file.read_bytes()[:kept])
        message = refusal(tmp_path)
        assert f"{file} is truncated or no safetensors file" in message

    def test_with_bytes_behind_the_last_tensor(self, tmp_path: Path) -> None:
        file = write_hf(tmp_path) / "model.safetensors"
        file.write_bytes(file.read_bytes() + b"more")
        assert "its header tells of" in refusal(tmp_path)

    def test_that_is_a_git_lfs_pointer(self, tmp_path: Path) -> None:
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
        for name in ("model.safetensors", "config.json"):
            folder = write_hf(tmp_path / name)
            (folder / name).write_text(pointer)
            message = refusal(folder)
            assert f"{folder / name} is a git-lfs pointer" in message
            assert "git lfs pull" in message and "\n" not in message

    def test_that_is_a_pipe(self, tmp_path: Path) -> None:
        file = write_hf(tmp_path) / "model.safetensors"
        file.unlink()
        os.mkfifo(file)
        assert f"{file} is no regular file" in refusal(tmp_path)

    @pytest.mark.parametrize("text", [b"<html>404: not found</html>", b"\xff" * 64, b"\0" * 64])
    def test_of_something_else(self, text: bytes, tmp_path: Path) -> None:
        file = write_hf(tmp_path) / "model.safetensors"
        file.write_bytes(text)
        assert str(file) in refusal(tmp_path)

    @pytest.mark.parametrize("header", [b"[]", b"{", b"\xff\xfe", b"3"])
    def test_header_that_is_no_object(self, header: bytes, tmp_path: Path) -> None:
        file = write_hf(tmp_path) / "model.safetensors"
        file.write_bytes(struct.pack("<Q", len(header)) + header)
        assert "no JSON" in refusal(tmp_path)

    @pytest.mark.parametrize(
        "entry",
        [
            {"dtype": "Q9"},
            {"shape": [64]},
            {"shape": [-64, -64]},
            {"shape": "64"},
            {"shape": [64.0, 64]},
            {"data_offsets": [4, 0]},
            {"data_offsets": [0]},
            {"data_offsets": None},
        ],
    )
    def test_header_with_an_impossible_entry(self, entry: dict[str, Any], tmp_path: Path) -> None:
        file = write_hf(tmp_path) / "model.safetensors"
        rewrite_header(file, lambda header: header[V_PROJ].update(entry))
        message = refusal(tmp_path)
        assert str(file) in message and V_PROJ in message

    def test_overlapping_tensors(self, tmp_path: Path) -> None:
        file = write_hf(tmp_path) / "model.safetensors"

        def overlap(header: dict[str, Any]) -> None:
            header[V_PROJ]["data_offsets"] = header[V_PROJ.replace("v_proj", "k_proj")][
                "data_offsets"
            ]

        rewrite_header(file, overlap)
        assert "begins at byte" in refusal(tmp_path)


class TestIndex:
    def test_that_names_a_missing_shard(self, tmp_path: Path) -> None:
        folder = write_hf(tmp_path, shards=3)
        (folder / "model-00002-of-00003.safetensors").unlink()
        message = refusal(folder)
        assert "names model-00002-of-00003.safetensors, which is not there" in message


def test_vision_tensors_without_a_vision_config_are_no_trap(tmp_path: Path) -> None:
    weights = random_weights(SMALL) | {"vision_tower.a": mx.zeros((2, 2))}
    assert open_checkpoint(write_hf(tmp_path, SMALL, weights)).skipped == ("vision_tower.a",)
