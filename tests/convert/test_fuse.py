"""Fusing: the weights are base plus adapter, rounded once, streamed as any conversion is."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from click.testing import CliRunner
from model.adapters.folders import write_adapter
from model.builders import CONFIGS, SMALL, random_weights, write_hf, write_native

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.fused import fuse, fused_rows
from magistral_convert.sources.kinds import open_source
from mlx_magistral.cli.main import main
from mlx_magistral.errors import AdapterError
from mlx_magistral.model.adapters.adapter import ModuleAdapter
from mlx_magistral.model.adapters.placing import place_adapter
from mlx_magistral.model.adapters.reading import read_adapter
from mlx_magistral.model.weights import load_model

TOKENS = mx.array([[5, 9, 2, 77, 31, 8, 1]])


def fused(base: Path, adapter: Path, output: Path, **aim: Any) -> Path:
    recipe = Recipe(**{"bits": 16, "group_size": 32, **aim})
    convert_checkpoint(fuse(open_source(base), read_adapter(adapter), recipe), output, recipe)
    return output


def weights(folder: Path) -> dict[str, mx.array]:
    found: dict[str, mx.array] = {}
    for path in folder.glob("model*.safetensors"):
        found |= mx.load(str(path))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("is_dora", [False, True])
@pytest.mark.parametrize("write", [write_hf, write_native])
def test_every_weight_is_mlx_lms_fused_one_rounded_to_bf16(
    tmp_path: Path, is_dora: bool, write: Any
) -> None:
    tuner = pytest.importorskip("mlx_lm.tuner.utils", reason="mlx-lm is in the dev extra")
    base = write(tmp_path / "base", weights=random_weights(SMALL, mx.bfloat16))
    adapter = write_adapter(tmp_path / "adapter", SMALL, is_dora=is_dora)
    ours = weights(fused(base, adapter, tmp_path / "out"))
    model = load_model(base).model
    model.set_dtype(mx.float32)
    tuner.load_adapters(model, str(adapter))
    for path, module in model.named_modules():
        if hasattr(module, "fuse"):
            theirs = module.fuse(dequantize=True).weight
            mine = ours[f"{path}.weight"].astype(mx.float32)
            # Half a unit in the last place of bf16, and what fp32 leaves of DoRA's lengths.
            assert mx.all(mx.abs(mine - theirs) <= 2**-8 * mx.abs(theirs) + 1e-6), path
            assert ours[f"{path}.weight"].dtype == mx.bfloat16


def test_logits_are_those_of_base_and_adapter_to_rounding(tmp_path: Path) -> None:
    base = write_hf(tmp_path / "base", weights=random_weights(SMALL, mx.bfloat16))
    adapter = write_adapter(tmp_path / "adapter", SMALL)
    with_adapter = load_model(base).model
    plain = with_adapter(TOKENS)
    place_adapter(with_adapter, read_adapter(adapter))
    logits = load_model(fused(base, adapter, tmp_path / "out")).model(TOKENS)
    difference = mx.abs(logits - with_adapter(TOKENS)).max()
    assert difference <= 3e-2 < mx.abs(with_adapter(TOKENS) - plain).max()


def test_in_fp32_nothing_but_the_rounding_of_the_weights_is_between_them(tmp_path: Path) -> None:
    base = write_hf(tmp_path / "base", weights=random_weights(SMALL, mx.bfloat16))
    adapter = write_adapter(tmp_path / "adapter", SMALL)
    result = load_model(fused(base, adapter, tmp_path / "out")).model
    result.set_dtype(mx.float32)
    exact = load_model(base).model
    exact.set_dtype(mx.float32)
    own = dict(exact.named_modules())
    for path, change in read_adapter(adapter).modules.items():
        own[path].weight += change.scale * (change.a @ change.b).T
    unrounded = exact(TOKENS)
    for path in read_adapter(adapter).modules:
        own[path].weight = own[path].weight.astype(mx.bfloat16).astype(mx.float32)
    assert mx.abs(result(TOKENS) - exact(TOKENS)).max() <= 1e-4
    largest = mx.abs(unrounded).max()
    assert mx.abs(result(TOKENS) - unrounded).max() <= 2**-7 * largest


def test_a_quantized_base_gives_its_own_numbers_plus_the_adapter(tmp_path: Path) -> None:
    base = write_hf(tmp_path / "base")
    recipe = Recipe(4, 32)
    convert_checkpoint(open_source(base), tmp_path / "4bit", recipe)
    adapter = write_adapter(tmp_path / "adapter", SMALL)
    model = load_model(tmp_path / "4bit").model
    place_adapter(model, read_adapter(adapter))
    logits = load_model(fused(tmp_path / "4bit", adapter, tmp_path / "out")).model(TOKENS)
    assert mx.abs(logits - model(TOKENS)).max() <= 5e-2


def test_weights_trained_in_full_take_the_places_of_the_base(tmp_path: Path) -> None:
    base = write_hf(tmp_path / "base")
    adapter = write_adapter(tmp_path / "adapter", SMALL, fine_tune_type="full")
    name = "model.layers.1.mlp.up_proj.weight"
    weight = mx.random.normal((SMALL.hidden_dim, SMALL.dim), key=mx.random.key(1))
    mx.save_safetensors(str(adapter / "adapters.safetensors"), {name: weight})
    ours = weights(fused(base, adapter, tmp_path / "out"))
    assert mx.array_equal(ours[name], weight.astype(mx.bfloat16))


def test_an_adapter_of_another_model_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    base = write_hf(tmp_path / "base", CONFIGS["eight to two"])
    adapter = write_adapter(tmp_path / "adapter", SMALL)
    with pytest.raises(AdapterError, match="belongs to another model"):
        fused(base, adapter, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("command", ["fuse", "convert"])
def test_the_commands(tmp_path: Path, command: str) -> None:
    base, adapter = write_hf(tmp_path / "base"), write_adapter(tmp_path / "adapter", SMALL)
    arguments = [str(base), str(adapter), str(tmp_path / "out")]
    if command == "convert":
        arguments = [str(base), str(tmp_path / "out"), "--adapter", str(adapter)]
    result = CliRunner().invoke(main, [command, *arguments, "--bits", "8", "--group-size", "32"])
    assert result.exit_code == 0, result.output
    assert "much of an adapter is rounded away" in result.stderr
    manifest = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert manifest["source"]["adapter"]["name"] == "adapter"


@pytest.mark.parametrize("is_dora", [False, True])
def test_blocks_of_rows_are_parts_of_the_whole(is_dora: bool) -> None:
    key = mx.random.split(mx.random.key(0), 4)
    rows = mx.random.normal((40, 24), key=key[0])
    change = ModuleAdapter(
        mx.random.normal((24, 3), key=key[1]),
        mx.random.normal((3, 40), key=key[2]),
        1.5,
        mx.random.uniform(1, 2, (40,), key=key[3]) if is_dora else None,
    )
    whole = fused_rows(rows, change, 0)
    for start, stop in ((0, 16), (16, 17), (17, 40)):
        part = fused_rows(rows[start:stop], change, start)
        assert mx.abs(part - whole[start:stop]).max() <= 1e-6
