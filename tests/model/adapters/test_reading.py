"""What is wrong with an adapter's folder is said in one line that names it."""

import json
from pathlib import Path

import mlx.core as mx
import pytest
from model.adapters.folders import write_adapter
from model.builders import CONFIGS, SMALL, edit_json, random_weights, write_hf

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral.errors import AdapterError
from mlx_magistral.model.adapters.identity import base_identity
from mlx_magistral.model.adapters.layers import DoRALinear
from mlx_magistral.model.adapters.placing import adapted_modules, place_adapter
from mlx_magistral.model.adapters.reading import read_adapter
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.model.weights import load_model


def test_a_folder_without_a_config_is_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no adapter: it has no adapter_config.json"):
        read_adapter(tmp_path)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, SMALL)
    (folder / "adapters.safetensors").unlink()
    with pytest.raises(AdapterError, match=r"has no adapters\.safetensors"):
        read_adapter(folder)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    file = write_adapter(tmp_path, SMALL) / "adapters.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(AdapterError, match=r"adapters\.safetensors is truncated"):
        read_adapter(tmp_path)


@pytest.mark.parametrize("parameters", [None, {}, {"rank": 4, "alpha": 8}, {"scale": "2"}])
def test_a_scale_is_never_guessed(tmp_path: Path, parameters: object) -> None:
    folder = write_adapter(tmp_path, SMALL, lora_parameters=parameters)
    with pytest.raises(AdapterError, match=r"no number as lora_parameters\.scale"):
        read_adapter(folder)


def test_half_a_module_is_named(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, SMALL)
    mx.save_safetensors(
        str(folder / "adapters.safetensors"), {"model.layers.0.mlp.up_proj.lora_a": mx.ones((2, 2))}
    )
    with pytest.raises(AdapterError, match=r"half of model\.layers\.0\.mlp\.up_proj"):
        read_adapter(folder)


def test_another_kind_of_peft_is_named(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "IA3"}))
    mx.save_safetensors(str(tmp_path / "adapter_model.safetensors"), {"x": mx.ones(1)})
    with pytest.raises(AdapterError, match="peft_type is 'IA3'"):
        read_adapter(tmp_path)


@pytest.mark.parametrize("begun", ["pissa", "pissa_niter_4", "olora", "loftq"])
def test_a_beginning_that_moves_the_base_is_refused(tmp_path: Path, begun: str) -> None:
    config = {"peft_type": "LORA", "lora_alpha": 8, "init_lora_weights": begun}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(tmp_path / "adapter_model.safetensors"), {"x": mx.ones(1)})
    with pytest.raises(AdapterError, match=f"init_lora_weights = '{begun}'"):
        read_adapter(tmp_path)


def test_an_adapter_of_other_shapes_names_them_and_the_base(tmp_path: Path) -> None:
    folder = write_adapter(
        tmp_path / "adapter", SMALL, base_sha256="f" * 64, base_model="somebody/base"
    )
    model = load_model(write_hf(tmp_path / "base", CONFIGS["eight to two"])).model
    with pytest.raises(AdapterError) as raised:
        place_adapter(model, read_adapter(folder), base_sha256="e" * 64)
    for part in (
        "192 x 64 here and 128 x 64 in the adapter",
        "somebody/base (ffffffffffff)",
        "eeee",
    ):
        assert part in str(raised.value)
    assert not adapted_modules(model)


def test_an_adapter_of_more_layers_names_the_first_that_is_not_there(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "adapter", SMALL)
    model = load_model(write_hf(tmp_path / "base", CONFIGS["one key head"])).model
    with pytest.raises(AdapterError, match=r"model\.layers\.1\.self_attn\.q_proj is no linear"):
        place_adapter(model, read_adapter(folder))


def test_an_adapter_of_another_base_of_the_same_shape_is_refused(tmp_path: Path) -> None:
    base = open_checkpoint(write_hf(tmp_path / "base"))
    folder = write_adapter(tmp_path / "adapter", SMALL, base_sha256="f" * 64)
    model = load_model(base.folder).model
    with pytest.raises(AdapterError, match="gains of the norms are others"):
        place_adapter(model, read_adapter(folder), base_sha256=base_identity(base))
    edit_json(folder / "adapter_config.json", base_sha256=base_identity(base))
    place_adapter(model, read_adapter(folder), base_sha256=base_identity(base))


def test_settled_layers_give_the_same_and_keep_no_scale(tmp_path: Path) -> None:
    config = SMALL
    adapter = read_adapter(write_adapter(tmp_path / "adapter", config, is_dora=True))
    model = load_model(write_hf(tmp_path / "base")).model
    linear = model.model.layers[0].mlp.up_proj
    change = adapter.modules["model.layers.0.mlp.up_proj"]
    layer = DoRALinear(linear, change.a, change.b, change.scale, change.m)
    x = mx.random.normal((3, config.dim))
    before = layer(x)
    layer.settle()
    assert layer.scale == 1.0
    assert mx.abs(layer(x) - before).max() <= 1e-5


def test_doras_lengths_begin_as_those_of_the_base(tmp_path: Path) -> None:
    linear = load_model(write_hf(tmp_path)).model.model.layers[0].mlp.up_proj
    out, width = linear.weight.shape
    m = mx.linalg.norm(linear.weight, axis=1)
    layer = DoRALinear(linear, mx.random.normal((width, 4)), mx.zeros((4, out)), 2.0, m)
    x = mx.random.normal((3, width))
    assert mx.abs(layer(x) - linear(x)).max() <= 1e-5


def test_a_quantized_base_is_the_same_base(tmp_path: Path) -> None:
    base = write_hf(tmp_path / "base")
    convert_checkpoint(open_source(base), tmp_path / "4bit", Recipe(bits=4, group_size=32))
    one, other = (open_checkpoint(tmp_path / name) for name in ("base", "4bit"))
    assert base_identity(other) == base_identity(one)
    assert base_identity(open_checkpoint(write_hf(tmp_path / "x", weights=others()))) != (
        base_identity(one)
    )


def others() -> dict[str, mx.array]:
    return random_weights(SMALL, seed=1)
