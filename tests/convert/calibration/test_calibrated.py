"""Conversions with calibration: better than plain, loadable, resumable, and the mixes."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from magistral_convert.calibration.data import CalibrationText, TokenText
from magistral_convert.calibration.mixes import (
    allocate_formats,
    mix_formats,
    require_reachable,
    static_overrides,
)
from magistral_convert.compare import compare_models
from magistral_convert.output.verify import verify_folder, verify_source
from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Method, Mix, Recipe, stored_bits
from magistral_convert.sources.kinds import open_source
from mlx_magistral.errors import ConversionError, UsageError
from mlx_magistral.model.quant_config import QuantFormat
from mlx_magistral.model.weights import load_model
from tests.convert.killed_conversion import CALIBRATED, calibration_text

_STATIC = Recipe(4, method=Method.SEARCH, mix=Mix.STATIC)
_AUTO = Recipe(4, method=Method.CALIBRATED, mix=Mix.AUTO, bits_per_weight=5.2)
_LOW = Recipe(3, method=Method.CALIBRATED, mix=Mix.AUTO, bits_per_weight=3.6)


@pytest.fixture(scope="module")
def text() -> CalibrationText:
    """Random ids: enough for what is a random model anyway."""
    return calibration_text()


def _quality(source: Path, output: Path, recipe: Recipe, text: CalibrationText) -> float:
    convert_checkpoint(open_source(source), output, recipe, text=text)
    measured = compare_models(open_source(source), open_source(output), text.held_out)
    return measured.kl_mean


def test_each_method_is_better_than_the_one_before(
    native_folder: Path, tmp_path: Path, text: CalibrationText
) -> None:
    plain, search, calibrated = (
        _quality(native_folder, tmp_path / method, Recipe(4, method=method), text)
        for method in (Method.PLAIN, Method.SEARCH, Method.CALIBRATED)
    )
    assert calibrated < search < plain


@pytest.mark.parametrize("recipe", [CALIBRATED, _STATIC, _AUTO, _LOW])
def test_mlx_lm_loads_it_with_our_logits(
    native_folder: Path, tmp_path: Path, text: CalibrationText, recipe: Recipe
) -> None:
    from mlx_lm.utils import load_model as load_with_mlx_lm

    report = convert_checkpoint(open_source(native_folder), tmp_path / "out", recipe, text=text)
    tokens = mx.array(text.held_out[:1, :16])
    theirs, _ = load_with_mlx_lm(tmp_path / "out")
    expected = theirs(tokens).astype(mx.float32)
    actual = load_model(tmp_path / "out").model(tokens).astype(mx.float32)
    assert float(mx.max(mx.abs(actual - expected))) <= 2e-2 * float(mx.max(mx.abs(expected)))
    assert report.quality["tokens"] == text.held_out.size
    assert verify_folder(tmp_path / "out") == []
    assert verify_source(tmp_path / "out", open_source(native_folder)) == []


@pytest.mark.parametrize("method", [Method.SEARCH, Method.CALIBRATED])
def test_the_manifest_and_the_card_tell_the_quality(
    native_folder: Path, tmp_path: Path, text: CalibrationText, method: Method
) -> None:
    recipe = Recipe(4, method=method)
    convert_checkpoint(open_source(native_folder), tmp_path / "out", recipe, text=text)
    manifest = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert 0 < manifest["quality"]["KL mean"] < 1
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    for figure in ("KL mean", "top-1 agreement", "perplexity of A", "perplexity of B"):
        assert f"| {figure} | {manifest['quality'][figure]} |" in card
    for shard in manifest["shards"].values():
        for name, tensor in shard["tensors"].items():
            if "norm" in name:
                assert tensor["loss_to_plain"] is None
            else:
                assert 0 < tensor["loss_to_plain"] <= 1


def test_the_card_says_what_was_lost_and_by_which_kind_of_text(
    native_folder: Path, tmp_path: Path, text: CalibrationText
) -> None:
    kinds = np.where(np.arange(text.held_out.size).reshape(text.held_out.shape) % 2, "odd", "even")
    known = CalibrationText(text.calibration, text.held_out, kinds)
    report = convert_checkpoint(
        open_source(native_folder), tmp_path / "low", Recipe(3, method=Method.SEARCH), text=known
    )
    card = (tmp_path / "low" / "README.md").read_text("utf-8")
    quality = report.quality
    assert f"share of\n{quality['top-1 agreement']}; the KL divergence" in card
    assert f"is {quality['KL mean']} nats a token." in card
    for kind in ("even", "odd"):
        part = quality["by kind"][kind]
        row = f"| {kind} | {part['tokens']} | {part['KL mean']} | {part['top-1 agreement']} |"
        assert row in card
    assert "long chains of reasoning suffer first" in card
    convert_checkpoint(open_source(native_folder), tmp_path / "more", Recipe(4))
    assert "suffer first" not in (tmp_path / "more" / "README.md").read_text("utf-8")


def test_the_static_mix_is_written_as_overrides(
    native_folder: Path, tmp_path: Path, text: CalibrationText
) -> None:
    convert_checkpoint(open_source(native_folder), tmp_path / "out", _STATIC, text=text)
    quantization = json.loads((tmp_path / "out" / "config.json").read_text())["quantization"]
    assert quantization["lm_head"] == {"group_size": 64, "bits": 6}
    assert quantization["model.layers.2.self_attn.v_proj"] == {"group_size": 64, "bits": 6}
    assert quantization["model.layers.0.self_attn.k_proj"] == {"group_size": 64, "bits": 5}
    assert len(quantization) == 3 + 1 + 2 * 3


def test_the_static_mix_of_3_bits_widens_the_ends_too(native_folder: Path) -> None:
    shapes = open_source(native_folder).shapes
    widths = {path: form.bits for path, form in static_overrides(shapes, 64, 3).items()}
    assert widths.pop("lm_head") == 6
    assert {widths.pop(f"model.layers.{layer}.self_attn.v_proj") for layer in range(3)} == {5}
    assert {widths.pop(f"model.layers.{layer}.self_attn.k_proj") for layer in range(3)} == {4}
    assert widths == {"model.layers.0.mlp.down_proj": 4, "model.layers.2.mlp.down_proj": 4}


def test_the_automatic_mix_keeps_to_its_size(
    native_folder: Path, tmp_path: Path, text: CalibrationText
) -> None:
    report = convert_checkpoint(open_source(native_folder), tmp_path / "out", _AUTO, text=text)
    assert 5.0 < report.bits_per_weight <= 5.2
    quantization = json.loads((tmp_path / "out" / "config.json").read_text())["quantization"]
    widths = {form["bits"] for form in quantization.values() if isinstance(form, dict)}
    assert widths and min(widths) >= 4


def test_a_mix_may_go_down_to_3_bits_and_differ_in_its_groups(
    native_folder: Path, tmp_path: Path, text: CalibrationText
) -> None:
    report = convert_checkpoint(open_source(native_folder), tmp_path / "out", _LOW, text=text)
    assert 3.4 < report.bits_per_weight <= 3.6
    table = json.loads((tmp_path / "out" / "config.json").read_text())["quantization"]
    assert (table["group_size"], table["bits"]) == (64, 3)
    sizes = {form["group_size"] for form in table.values() if isinstance(form, dict)}
    assert 128 in sizes


def test_allocation_takes_the_growth_that_saves_most_for_its_size() -> None:
    shapes = {"a.weight": (64, 64), "b.weight": (64, 64), "norm.weight": (64,)}
    four, five, six, fine = (
        QuantFormat(64, 4), QuantFormat(64, 5), QuantFormat(64, 6), QuantFormat(32, 4)
    )  # fmt: skip
    costs = {
        "a": {four: 9.0, five: 4.0, six: 2.0, fine: 8.5},
        "b": {four: 1.0, five: 0.5, six: 0.3, fine: 0.2},
    }
    least = ((4 + 0.5) * 8192 + 16 * 64) / 8256

    def found(room: float) -> dict[str, QuantFormat]:
        return allocate_formats(shapes, costs, four, least + room)

    assert found(0.01) == {}
    assert found(0.6) == {"a": five}
    assert found(1.0) == {"a": six}
    # Half a bit for groups of 32 saves b more than a whole one for 5 bits.
    assert found(1.3) == {"a": six, "b": fine}


def test_an_allocation_is_the_best_of_all_there_are() -> None:
    generator = np.random.default_rng(0)
    names = [f"m{number}.weight" for number in range(5)]
    shapes = {name: (64, 128) for name in names}
    formats = mix_formats(3, 128)
    # Falling and bending, as errors do with width: then steps by saving are the best there is.
    costs = {
        name.removesuffix(".weight"): {form: weight * 4.0 ** -stored_bits(form) for form in formats}
        for name, weight in zip(names, generator.uniform(1, 100, 5), strict=True)
    }
    default = formats[0]

    def total(chosen: dict[str, QuantFormat]) -> float:
        return sum(each[chosen.get(module, default)] for module, each in costs.items())

    found = total(allocate_formats(shapes, costs, default, 4.0))
    for _ in range(3000):
        tried = {module: formats[generator.integers(len(formats))] for module in costs}
        if sum(map(stored_bits, tried.values())) <= 5 * 4.0:
            assert found <= total(tried) * 1.02


@pytest.mark.parametrize(
    ("bits", "wanted", "message"),
    [
        (3, 3.0, r"3 bits in the largest groups take 3\.\d+ everywhere. Choose 3\.\d+ or more"),
        (4, 4.2, r"4 bits in the largest groups take 4\.\d+ everywhere"),
        (3, 9.5, r"8 bits in groups of 32 come to 9\.\d+ everywhere. Choose 9\.\d+ or less, or"),
        (3, 16.5, r"8 bits in groups of 32 come to 9\.\d+ everywhere"),
        (3, -1.0, r"3 bits in the largest groups take 3\.\d+ everywhere"),
    ],
)
def test_a_mix_that_cannot_be_reached_names_the_nearest(
    native_folder: Path,
    tmp_path: Path,
    text: CalibrationText,
    bits: int,
    wanted: float,
    message: str,
) -> None:
    recipe = Recipe(bits, mix=Mix.AUTO, bits_per_weight=wanted)
    source = open_source(native_folder)
    with pytest.raises(UsageError, match=message) as caught:
        convert_checkpoint(source, tmp_path / "out", recipe, text=text)
    assert not list(tmp_path.iterdir())
    # What it names can be had.
    nearest = float(re.findall(r"Choose (\d+\.\d+)", str(caught.value))[0])
    require_reachable(source.shapes, replace(recipe, bits_per_weight=nearest))


@pytest.mark.parametrize(
    "options",
    [
        {"bits": 7},
        {"bits": 3, "mix": Mix.AUTO, "bits_per_weight": math.nan},
        {"bits": 3, "mix": Mix.AUTO, "bits_per_weight": math.inf},
        {"bits": 4, "group_size": 16},
        {"bits": 4, "dtype": "float32"},
        {"bits": 4, "mix": Mix.AUTO},
        {"bits": 4, "bits_per_weight": 4.7},
        {"bits": 8, "mix": Mix.STATIC},
        {"bits": 16, "method": Method.SEARCH},
    ],
)
def test_recipes_that_cannot_be_are_usage_errors(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Recipe(**options)  # type: ignore[arg-type]


def test_a_recipe_without_its_text_is_refused(native_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="needs text"):
        convert_checkpoint(open_source(native_folder), tmp_path / "out", CALIBRATED)


def test_killed_between_layers_it_goes_on_to_the_same_bytes(
    native_folder: Path, tmp_path: Path, text: CalibrationText
) -> None:
    steps: list[str] = []
    source = open_source(native_folder)
    convert_checkpoint(source, tmp_path / "whole", CALIBRATED, text=text, fault=steps.append)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    chosen = [n for n, step in enumerate(steps) if step.startswith("hidden-0002")][::2]
    chosen += [n for n, step in enumerate(steps) if step.startswith("model-00004")][::12]
    driver = Path(__file__).parents[1] / "killed_conversion.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for number in chosen:
        output = tmp_path / f"out{number}"
        command = [sys.executable, str(driver), str(native_folder), str(output), str(number)]
        killed = subprocess.run([*command, "calibrated"], env=environment, check=False)
        assert killed.returncode == -signal.SIGKILL
        report = convert_checkpoint(source, output, CALIBRATED, text=text)
        assert report.shards_resumed >= 1
        assert {path.name: path.read_bytes() for path in output.iterdir()} == expected


def test_lost_hidden_states_are_computed_again(
    native_folder: Path, tmp_path: Path, text: CalibrationText
) -> None:
    source = open_source(native_folder)

    def stop(step: str) -> None:
        if step == "model-00004-of-00005.safetensors: header written":
            raise KeyboardInterrupt

    for name in ("whole", "broken"):
        if name == "broken":
            with pytest.raises(KeyboardInterrupt):
                convert_checkpoint(source, tmp_path / name, CALIBRATED, text=text, fault=stop)
            (states,) = (tmp_path / "broken.partial" / "journal").glob("hidden-*")
            states.write_bytes(states.read_bytes()[:-100])
        convert_checkpoint(source, tmp_path / name, CALIBRATED, text=text)
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "broken" / path.name).read_bytes() == path.read_bytes(), path.name


def test_text_splits_into_what_is_seen_and_what_is_not() -> None:
    ids = np.arange(20 * 4).reshape(20, 4)
    split = CalibrationText.split(TokenText(ids, ids.astype(str)))
    assert split.held_out.shape == (3, 4)
    assert split.held_out_kinds is not None
    assert np.array_equal(split.held_out_kinds, split.held_out.astype(str))
    assert split.calibration.shape == (17, 4)
    together = np.concatenate([split.calibration, split.held_out])
    assert sorted(together[:, 0]) == list(range(0, 80, 4))
    single = CalibrationText.split(TokenText(ids[:1], ids[:1].astype(str)))
    assert np.array_equal(single.calibration, single.held_out)
