"""Heads of both published layouts load alike; what does not fit the target is refused by name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from model.builders import SMALL, edit_json, write_hf
from model.eagle.heads import AUX, write_head

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.eagle.config import default_aux_layers, is_head
from mlx_magistral.model.eagle.reading import is_head_folder, load_head, open_head

TARGET = replace(SMALL, n_layers=7)


def _parameters(folder: Path, target: ModelConfig = TARGET) -> dict[str, mx.array]:
    flat: Any = tree_flatten(load_head(folder, target, dtype=mx.float32).network.parameters())
    return dict(flat)


def test_both_layouts_are_one_head(tmp_path: Path) -> None:
    flat = write_head(tmp_path / "flat", TARGET, is_flat=True)
    whole = write_head(tmp_path / "whole", TARGET)
    assert open_head(flat, TARGET).config == open_head(whole, TARGET).config
    ours, theirs = _parameters(flat), _parameters(whole)
    assert ours.keys() == theirs.keys()
    assert all(mx.array_equal(ours[name], theirs[name]) for name in ours)


def test_columns_stand_for_the_ids_that_d2t_tells(tmp_path: Path) -> None:
    head = load_head(write_head(tmp_path / "head", TARGET), TARGET, dtype=mx.float32)
    assert head.targets is not None
    assert head.targets.tolist() == list(range(0, TARGET.vocab_size, 2))


def test_a_head_of_the_whole_vocabulary_needs_neither_d2t_nor_columns_of_its_own(
    tmp_path: Path,
) -> None:
    left_out = ("embed_tokens.weight", "lm_head.weight", "d2t")
    folder = write_head(tmp_path / "head", TARGET, columns=TARGET.vocab_size, without=left_out)
    head = load_head(folder, TARGET, dtype=mx.float32)
    assert head.targets is None and "lm_head" not in head.network


def test_layers_are_those_of_published_heads() -> None:
    assert default_aux_layers(40) == (2, 20, 37)
    assert default_aux_layers(4) == (1, 2, 3)


def test_a_head_is_told_from_a_model_by_its_config(tmp_path: Path) -> None:
    assert is_head_folder(write_head(tmp_path / "whole", TARGET))
    assert is_head_folder(write_head(tmp_path / "flat", TARGET, is_flat=True))
    assert not is_head_folder(write_hf(tmp_path / "model"))
    assert not is_head({"speculators_model_type": "dflash", "architectures": ["Eagle3"]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 32}, "width 32, and this one has 64"),
        ({"vocab_size": 999}, "vocabulary of 999, and this model has 128"),
        ({"num_hidden_layers": 2}, "2 layers"),
        ({"num_attention_heads": 3}, "3 query heads do not divide"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"model_type": "qwen3"}, "type 'qwen3'"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "scales RoPE by 'llama3'"),
        ({"intermediate_size": 100}, "gate_proj.weight is \\(48, 64\\)"),
        ({"draft_vocab_size": 10}, "lm_head.weight is \\(64, 64\\)"),
        ({"eagle_config": {AUX: [1, 2, 6]}}, "layers 1 to 6"),
        ({"eagle_config": {AUX: "all"}}, "is 'all'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_does_not_fit_is_refused_by_name(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write_head(tmp_path / "head", TARGET, is_flat=True)
    edit_json(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        load_head(folder, TARGET, dtype=mx.float32)


def test_tensors_are_checked(tmp_path: Path) -> None:
    missing = write_head(tmp_path / "missing", TARGET, without=("fc.weight",))
    with pytest.raises(CheckpointError, match=r"has no fc\.weight"):
        open_head(missing, TARGET)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text((missing / "config.json").read_text())
    with pytest.raises(CheckpointError, match="no .safetensors file"):
        open_head(tmp_path / "empty", TARGET)
    unknown = write_head(tmp_path / "unknown", TARGET)
    tensors: Any = mx.load(str(unknown / "model.safetensors"))
    mx.eval(tensors)
    mx.save_safetensors(str(unknown / "model.safetensors"), {**tensors, "extra": mx.zeros((1,))})
    with pytest.raises(CheckpointError, match="a tensor extra"):
        open_head(unknown, TARGET)
    mx.save_safetensors(
        str(unknown / "model.safetensors"), {**tensors, "d2t": tensors["d2t"] + 1000}
    )
    with pytest.raises(CheckpointError, match="d2t leads to id 1,?126"):
        load_head(unknown, TARGET, dtype=mx.float32)


def test_a_head_for_a_quantized_target_is_quantized_too(tmp_path: Path) -> None:
    folder = write_head(tmp_path / "head", TARGET)
    names = load_head(folder, TARGET, dtype=mx.bfloat16, is_quantized=True).network.parameters()
    assert "scales" in names["fc"] and "scales" in names["lm_head"]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    from mlx_magistral.train.drafter.folder import write_head_folder

    head = load_head(write_head(tmp_path / "head", TARGET), TARGET, dtype=mx.float32)
    assert head.targets is not None
    written = tmp_path / "written"
    write_head_folder(
        written, head.network, head.config, head.targets, "some/target", "# A card", mx.float32
    )
    again = load_head(written, TARGET, dtype=mx.float32)
    assert again.config == head.config
    assert again.targets is not None and mx.array_equal(again.targets, head.targets)
    ours = _parameters(written)
    assert all(mx.array_equal(ours[name], each) for name, each in _parameters(written).items())
    config = json.loads((written / "config.json").read_text())
    assert config["speculators_config"]["verifier"]["name_or_path"] == "some/target"
    t2d: Any = mx.load(str(written / "model.safetensors"))
    assert int(t2d["t2d"].sum().item()) == head.config.draft_vocab_size
