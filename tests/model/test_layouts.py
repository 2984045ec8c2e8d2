"""Folders as their own tools leave them: what mlx-lm or transformers loads, loads with its logits.

scripts/checks/checkpoints.py has those tools write many more.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from model.builders import SMALL, edit_json, random_weights, write_hf, write_native

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.checkpoint import Kind, open_checkpoint
from mlx_magistral.model.names import expected_shapes
from mlx_magistral.model.quant_config import QuantFormat
from mlx_magistral.model.weights import load_model

TOKENS = [[(7 * i) % 128 for i in range(9)]]
INDEX = "model.safetensors.index.json"
TIED = replace(SMALL, tie_word_embeddings=True)

Quantize = Callable[[str], dict[str, int] | None]


def logits(folder: Path) -> mx.array:
    return load_model(folder).model(mx.array(TOKENS))


def assert_as_written(folder: Path, weights: dict[str, mx.array]) -> None:
    """What is loaded computes what the plain folder of the same weights computes."""
    config = SMALL if "lm_head.weight" in weights else TIED
    plain = write_hf(folder.with_name(folder.name + "-plain"), config, weights)
    assert mx.array_equal(logits(folder), logits(plain))


def edit_index(folder: Path, change: Callable[[dict[str, str]], Any]) -> None:
    content = json.loads((folder / INDEX).read_text())
    change(content["weight_map"])
    (folder / INDEX).write_text(json.dumps(content))


class TestIndex:
    def test_that_names_a_sidecar_in_a_sub_folder(self, tmp_path: Path) -> None:
        weights = random_weights(SMALL)
        folder = write_hf(tmp_path / "a", SMALL, weights, shards=3)
        (folder / "optiq").mkdir()
        vision = {"vision_tower.patch_conv.weight": mx.zeros((4, 4))}
        mx.save_safetensors(str(folder / "optiq" / "optiq_vision.safetensors"), vision)
        edit_index(
            folder,
            lambda places: places.update({next(iter(vision)): "optiq/optiq_vision.safetensors"}),
        )
        assert_as_written(folder, weights)

    def test_that_names_a_sidecar_of_other_parts_which_is_absent(self, tmp_path: Path) -> None:
        weights = random_weights(SMALL)
        folder = write_hf(tmp_path / "a", SMALL, weights, shards=3)
        edit_index(folder, lambda places: places.update({"vision_tower.a": "vision/a.safetensors"}))
        assert_as_written(folder, weights)

    def test_that_places_text_weights_in_a_sub_folder(self, tmp_path: Path) -> None:
        weights = random_weights(SMALL)
        folder = write_hf(tmp_path / "a", SMALL, weights, shards=2)
        name = "model-00002-of-00002.safetensors"
        (folder / "part").mkdir()
        (folder / name).rename(folder / "part" / name)

        def move(places: dict[str, str]) -> None:
            places.update({key: f"part/{name}" for key, file in places.items() if file == name})

        edit_index(folder, move)
        assert_as_written(folder, weights)

    def test_that_is_stale_beside_a_whole_file(self, tmp_path: Path) -> None:
        weights = random_weights(SMALL)
        folder = write_hf(tmp_path / "a", SMALL, weights)
        places = dict.fromkeys(weights, "model-00001-of-00009.safetensors")
        (folder / INDEX).write_text(json.dumps({"weight_map": places}))
        assert_as_written(folder, weights)

    def test_that_goes_with_other_shards_beside_a_whole_file(self, tmp_path: Path) -> None:
        """As transformers does, which looks for the whole file first."""
        weights = random_weights(SMALL)
        folder = write_hf(tmp_path / "a", SMALL, random_weights(SMALL, seed=1), shards=2)
        write_hf(folder, SMALL, weights)
        assert_as_written(folder, weights)

    def test_that_leaves_older_shards_aside(self, tmp_path: Path) -> None:
        weights = random_weights(SMALL)
        folder = write_hf(tmp_path / "a", SMALL, random_weights(SMALL, seed=1), shards=3)
        write_hf(folder, SMALL, weights, shards=2)
        assert_as_written(folder, weights)

    def test_that_places_a_tensor_elsewhere(self, tmp_path: Path) -> None:
        weights = random_weights(SMALL)
        folder = write_hf(tmp_path / "a", SMALL, weights, shards=3)
        edit_index(
            folder, lambda places: places.update(dict.fromkeys(weights, min(places.values())))
        )
        assert_as_written(folder, weights)

    def test_that_leaves_a_tensor_out(self, tmp_path: Path) -> None:
        weights = random_weights(SMALL)
        folder = write_hf(tmp_path / "a", SMALL, weights, shards=3)
        edit_index(folder, lambda places: places.pop("model.norm.weight"))
        assert_as_written(folder, weights)

    @pytest.mark.parametrize(
        "content", [{}, {"weight_map": []}, {"weight_map": {"a": "../b"}}, {"weight_map": {"a": 1}}]
    )
    def test_that_is_none_is_passed_over(self, content: dict[str, Any], tmp_path: Path) -> None:
        weights = random_weights(SMALL)
        folder = write_hf(tmp_path / "a", SMALL, weights, shards=3)
        (folder / INDEX).write_text(json.dumps(content))
        assert_as_written(folder, weights)

    def test_that_leads_out_of_the_folder_is_not_followed(self, tmp_path: Path) -> None:
        folder = write_hf(tmp_path / "a", SMALL, shards=2)
        name = "model-00002-of-00002.safetensors"
        (folder / name).rename(tmp_path / name)
        edit_index(
            folder,
            lambda places: places.update(
                {key: f"../{name}" for key, file in places.items() if file == name}
            ),
        )
        with pytest.raises(CheckpointError, match="names ../model-00002.*which is not there"):
            open_checkpoint(folder)

    def test_beside_files_of_a_mac_on_exfat(self, tmp_path: Path) -> None:
        weights = random_weights(SMALL)
        folder = write_hf(tmp_path / "a", SMALL, weights, shards=2)
        for file in list(folder.iterdir()):
            (folder / f"._{file.name}").write_bytes(b"\0\5\x16\7" + b"\0" * 60)
        assert_as_written(folder, weights)


class TestHead:
    def test_stored_again_where_it_is_tied(self, tmp_path: Path, mlx_lm_model) -> None:
        weights = random_weights(TIED)
        again = {**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}
        folder = write_hf(tmp_path / "a", TIED, again)
        assert_as_written(folder, weights)
        assert mx.array_equal(mlx_lm_model(folder)(mx.array(TOKENS)), logits(folder))

    def test_stored_again_in_a_native_checkpoint(self, tmp_path: Path) -> None:
        weights = random_weights(TIED)
        again = {**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}
        assert_as_written(write_native(tmp_path / "a", TIED, again), weights)

    @pytest.mark.parametrize("has_head", [False, True])
    def test_of_a_multimodal_model_tied_at_the_top(self, tmp_path: Path, has_head: bool) -> None:
        """As transformers 5 writes it: true at the top and false in text_config."""
        weights = random_weights(SMALL if has_head else TIED)
        folder = write_hf(tmp_path / "a", SMALL, weights)
        content = {
            "model_type": "mistral3",
            "text_config": SMALL.to_hf(),
            "tie_word_embeddings": True,
        }
        (folder / "config.json").write_text(json.dumps(content))
        assert_as_written(folder, weights)


@pytest.mark.parametrize(
    "change",
    [
        {"rope_scaling": {"rope_type": "default"}},
        {"hidden_act": None},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
    ],
)
def test_entries_that_change_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    weights = random_weights(SMALL)
    folder = write_hf(tmp_path / "a", SMALL, weights)
    edit_json(folder / "config.json", **change)
    assert_as_written(folder, weights)


def test_head_dim_left_out(tmp_path: Path, transformers_logits) -> None:
    config = replace(SMALL, head_dim=16)
    folder = write_hf(tmp_path, config)
    edit_json(folder / "config.json", head_dim=None)
    reference = transformers_logits(folder, "float32", TOKENS)
    assert mx.abs(logits(folder) - reference).max() <= 1e-4
    # Where the shapes do not agree, nothing is guessed.
    other = write_hf(tmp_path / "other", SMALL)
    edit_json(other / "config.json", head_dim=None)
    with pytest.raises(CheckpointError, match="q_proj.weight"):
        open_checkpoint(other)


def test_weights_that_bitsandbytes_has_packed_are_refused_by_its_name(tmp_path: Path) -> None:
    weights = random_weights(SMALL)
    name = "model.layers.0.mlp.up_proj.weight"
    weights[name] = mx.zeros((96 * 64 // 2, 1), mx.uint8)
    weights[f"{name}.absmax"] = mx.zeros((96,))
    folder = write_hf(tmp_path, SMALL, weights)
    edit_json(folder / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(CheckpointError, match="is of 'bitsandbytes', not of MLX"):
        open_checkpoint(folder)


def write_quantized(folder: Path, table: dict[str, Any], choose: Quantize) -> Path:
    """A folder in MLX's format with the widths that ``choose`` gives each matrix."""
    stored = {}
    for name, value in random_weights(SMALL).items():
        module = name.removesuffix(".weight")
        form = choose(module) if value.ndim == 2 else None
        if form is None:
            stored[name] = value
            continue
        parts = mx.quantize(value, **form)
        stored |= dict(zip((name, f"{module}.scales", f"{module}.biases"), parts, strict=True))
    return write_hf(folder, SMALL, stored, extra_config={"quantization": table})


class TestQuantized:
    """Folders that mlx-lm writes or loads, with its logits."""

    def check(self, folder: Path, mlx_lm_model) -> None:
        theirs = mlx_lm_model(folder)(mx.array(TOKENS))
        assert np.array_equal(np.array(logits(folder)), np.array(theirs))

    @pytest.mark.parametrize("group_size", [{"group_size": None}, {}])
    def test_modules_without_a_group_size(
        self, tmp_path: Path, mlx_lm_model, group_size: dict[str, None]
    ) -> None:
        """mlx-lm's mixed recipes write null where no --q-group-size was given."""
        table: dict[str, Any] = {"group_size": 64, "bits": 4, "mode": "affine"}
        for name, shape in expected_shapes(SMALL).items():
            module = name.removesuffix(".weight")
            if len(shape) == 2 and shape[1] % 64 == 0:
                table[module] = {**group_size, "bits": 6 if "v_proj" in name else 4}

        def choose(module: str) -> dict[str, int] | None:
            return {"group_size": 64, "bits": table[module]["bits"]} if module in table else None

        folder = write_quantized(tmp_path, table, choose)
        self.check(folder, mlx_lm_model)
        quantization = open_checkpoint(folder).quantization
        assert quantization is not None
        assert quantization.for_path("model.layers.0.self_attn.v_proj") == QuantFormat(64, 6)
        assert quantization.for_path("model.layers.0.self_attn.q_proj") == QuantFormat(64, 4)

    def test_mixed_widths_under_a_plain_map(self, tmp_path: Path, mlx_lm_model) -> None:
        def choose(module: str) -> dict[str, int]:
            if "down_proj" in module:
                return {"group_size": 32, "bits": 8}
            return {"group_size": 32 if "v_proj" in module else 64, "bits": 3}

        folder = write_quantized(tmp_path, {"group_size": 64, "bits": 4}, choose)
        assert open_checkpoint(folder).kind is Kind.QUANTIZED
        self.check(folder, mlx_lm_model)

    def test_a_group_size_written_as_a_decimal(self, tmp_path: Path) -> None:
        table = {"group_size": 32.0, "bits": 4.0}
        folder = write_quantized(tmp_path, table, lambda module: {"group_size": 32, "bits": 4})
        plain = write_quantized(
            tmp_path / "b",
            {"group_size": 32, "bits": 4},
            lambda module: {"group_size": 32, "bits": 4},
        )
        assert mx.array_equal(logits(folder), logits(plain))

    def test_a_width_that_contradicts_what_is_said_of_the_module(self, tmp_path: Path) -> None:
        table = {"group_size": 32, "bits": 4, "lm_head": {"group_size": 32, "bits": 6}}
        folder = write_quantized(tmp_path, table, lambda module: {"group_size": 32, "bits": 4})
        with pytest.raises(CheckpointError, match=r"lm_head.weight \[128, 8\] instead of"):
            open_checkpoint(folder)
