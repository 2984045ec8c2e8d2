"""The time told before calibration starts."""

import dataclasses

import pytest

from magistral_convert.calibration import estimate, stage_sizes
from magistral_convert.calibration.estimate import (
    calibration_seconds,
    importance_operations,
    layer_operations,
)
from magistral_convert.recipe import Method, Recipe
from mlx_magistral.model.config import ModelConfig
from tests.convert.tiny_checkpoints import PARAMS

_CONFIG = ModelConfig(**PARAMS, tie_word_embeddings=False)
# A row and square: feedback, plain's loss, and the descent's start and passes.
_SOLVING = 1 + 2 + 2 + 2 * 4
# A cube: Cholesky in float64; what a regression decomposes, and as many right sides, the drift.
_CUBE = 2 / 3 + 2 / 3 + 2
# Of one layer of _CONFIG: q 256x128, k and v 128x128, o 128x256, gate and up 256x128, down 128x256.
_WEIGHTS = 256 * 128 + 2 * 128 * 128 + 128 * 256 + 2 * 256 * 128 + 128 * 256


def test_the_search_only_sends_text_through_the_layer() -> None:
    assert layer_operations(_CONFIG, Method.SEARCH, 1000) == 2 * 1000 * _WEIGHTS


def test_calibration_adds_the_products_counted_by_hand() -> None:
    found = layer_operations(_CONFIG, Method.CALIBRATED, 2000)
    forward = 2 * 2000 * 2 * _WEIGHTS  # two sides of everything
    # H and the drift of attention's inputs and the MLP's, then again of q, k, v, gate and up: all
    # of these tokens are measured.
    sums = 2 * 2000 * 2 * (2 + 5) * 128**2
    # H of the wide inputs of o_proj and down_proj, and these with what the outputs lack.
    sums += 2 * 2000 * 2 * (256**2 + 256 * 128)
    cubes = _CUBE * 5 * 128**3 + 2 * ((2 / 3 + 2 / 3) * 256**3 + 2 * 2 * 256**2 * 128)
    narrow, wide = (256 + 2 * 128 + 2 * 256) * 128**2, 2 * 128 * 256**2
    assert found == pytest.approx(
        forward + sums + cubes + (_SOLVING + 2) * narrow + _SOLVING * wide
    )


def test_few_tokens_foretell_nothing_of_wide_inputs() -> None:
    # 4 * 128 they are, and not 4 * 256.
    found = layer_operations(_CONFIG, Method.CALIBRATED, 1000)
    forward = 2 * 1000 * 2 * _WEIGHTS
    sums = 2 * 1000 * (2 * (2 + 5) * 128**2 + 2 * 256**2)
    cubes = _CUBE * 5 * 128**3 + 2 / 3 * 2 * 256**3
    narrow, wide = (256 + 2 * 128 + 2 * 256) * 128**2, 2 * 128 * 256**2
    assert found == pytest.approx(
        forward + sums + cubes + (_SOLVING + 2) * narrow + _SOLVING * wide
    )


def test_of_more_tokens_some_are_measured() -> None:
    two, three = (layer_operations(_CONFIG, Method.CALIBRATED, n) for n in (20000, 30000))
    inputs = 2 * 2 * 2 * 128**2
    outputs = 2 * 2 * (256**2 + 256 * 128)
    assert three - two == pytest.approx(10000 * (2 * 2 * _WEIGHTS + inputs + outputs))


def test_what_is_too_large_to_keep_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # q, k and v, gate and up, of the result.
    inner = 512 * 128 + 2 * 256 * 128
    counts = (2000, 1000)
    kept = {n: layer_operations(_CONFIG, Method.CALIBRATED, n) for n in counts}
    monkeypatch.setattr(stage_sizes, "_MOST_KEPT_BYTES", 0)
    for tokens in counts:
        again = layer_operations(_CONFIG, Method.CALIBRATED, tokens) - kept[tokens]
        assert again == pytest.approx(2 * tokens * inner)


def test_gradients_add_the_products_counted_by_hand() -> None:
    # Of 1,000 tokens all are measured: there, there again but for down_proj, and back.
    layers = 3 * (3 * _WEIGHTS - 128 * 256)
    head = 3 * 192 * 128
    assert importance_operations(_CONFIG, 1000) == 2 * 1000 * (layers + head)
    assert importance_operations(_CONFIG, 10**6) == 2 * 16384 * (layers + head)


def test_wide_inputs_count_in_blocks() -> None:
    wide = dataclasses.replace(_CONFIG, hidden_dim=32768)
    squares = (2 * 32768 + 512) * 128**2 + 128 * 256**2
    rest = _SOLVING * squares + 2 / 3 * (5 * 128**3 + 256**3)
    # Four blocks of 8,192 columns: a quarter of the whole square, a sixteenth of the cube.
    expected = _SOLVING * 128 * 32768**2 / 4 + 2 / 3 * 32768**3 / 16
    found = layer_operations(wide, Method.CALIBRATED, 0) - rest
    assert found == pytest.approx(expected, rel=1e-6)


def test_seconds_are_this_machine_s_and_grow_with_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_seconds_a_weight", lambda recipe: 1e-6)
    monkeypatch.setattr(estimate, "_seconds_an_operation", lambda: 1e-9)
    monkeypatch.setattr(estimate, "_seconds_a_row", lambda config, length: 1e-3)
    monkeypatch.setattr(estimate, "_seconds_a_gate", lambda: 1e-8)
    recipe = Recipe(4, method=Method.SEARCH)
    weights = 3 * (_WEIGHTS + 2 * 128) + 2 * 192 * 128 + 128
    layer = 2 * 1000 * _WEIGHTS * 1e-9 + 10 * 1e-3 + 1000 * 256 * 1e-8
    expected = weights * 1e-6 + 3 * layer
    assert calibration_seconds(_CONFIG, recipe, 1000, 100) == pytest.approx(expected)


@pytest.mark.parametrize("method", [Method.SEARCH, Method.CALIBRATED])
def test_the_samples_can_be_timed_here(method: Method) -> None:
    seconds = calibration_seconds(_CONFIG, Recipe(4, method=method), 1000, 100)
    assert 0 < seconds < 3600
