"""Calibration beside the result so far: what reaches each matrix, and what it lacks."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from magistral_convert.calibration.column_sums import _RIDGE, ColumnSums
from magistral_convert.calibration.layer import ATTENTION_OUTPUT, add_output, layer_forward
from magistral_convert.calibration.streams import PairedStream
from magistral_convert.compare import compare_models
from magistral_convert.output.plan import plan_conversion
from magistral_convert.output.written import WrittenTensors
from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Method, Recipe
from magistral_convert.rounding.methods import store_rows
from magistral_convert.rounding.quantize import dequantized
from magistral_convert.sources.kinds import open_source
from magistral_convert.sources.layer_weights import embed, read_layer, read_tensor
from magistral_convert.sources.source import Source
from mlx_magistral.model.quant_config import QuantFormat
from tests.convert.killed_conversion import calibration_text

_RECIPE = Recipe(4)
_FORMAT = QuantFormat(group_size=32, bits=4)
_TOKENS = np.random.default_rng(3).integers(0, 192, (28, 40))


@pytest.fixture(scope="module")
def source(native_folder: Path) -> Source:
    """The tiny model."""
    return open_source(native_folder)


@pytest.fixture(scope="module")
def result(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in plain 4 bits, far from it."""
    folder = tmp_path_factory.mktemp("result") / "out"
    convert_checkpoint(source, folder, _RECIPE)
    return folder


def _stream(source: Source, result: Path, tokens: np.ndarray = _TOKENS) -> PairedStream:
    plan = plan_conversion(source.shapes, _RECIPE)
    stream = PairedStream(source, WrittenTensors(result, plan))
    stream.start(tokens)
    return stream


def _seen(source: Source, layer: int) -> dict[str, np.ndarray]:
    """What reaches each matrix of a layer, by the path that compares whole models."""
    inputs: dict[str, np.ndarray] = {}

    def keep(names: tuple[str, ...], rows: np.ndarray) -> None:
        inputs.update(dict.fromkeys(names, rows))

    hidden = np.array(embed(source, _TOKENS))
    for index in range(layer + 1):
        weights = read_layer(source, index)
        hidden = layer_forward(weights, hidden, source.config, keep)
    return inputs


def _hidden_before(source: Source, name: str) -> np.ndarray:
    """The hidden states (tokens, D) that what o_proj or down_proj of layer 1 brings is added to."""
    hidden = layer_forward(read_layer(source, 0), np.array(embed(source, _TOKENS)), source.config)
    if name == "mlp.down_proj":
        inner = _seen(source, 1)["self_attn.o_proj"]
        hidden = add_output(read_layer(source, 1), hidden, ATTENTION_OUTPUT, inner)
    return hidden.reshape(-1, hidden.shape[-1])


@pytest.mark.parametrize(
    "name", ["self_attn.k_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"]
)
def test_both_sides_are_what_the_two_models_compute(
    source: Source, result: Path, name: str
) -> None:
    stream = _stream(source, result)
    stream.leave(0)
    pairs, lags = [], []

    class Spy(ColumnSums):
        def add(
            self,
            exact: np.ndarray,
            drifted: np.ndarray,
            weights: np.ndarray | None = None,
            lag: np.ndarray | None = None,
        ) -> None:
            pairs.append((exact, drifted))
            lags.append(lag)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("magistral_convert.calibration.streams.ColumnSums", Spy)
        stream.sums(1, name)
    exact, drifted = (np.concatenate(side) for side in zip(*pairs, strict=True))
    for found, folder in ((exact, source.folder), (drifted, result)):
        expected = _seen(open_source(folder), 1)[name]
        # Hidden states wait in bfloat16.
        assert np.allclose(found, expected, rtol=0.05, atol=0.05)
        assert np.square(found - expected).mean() < 1e-4 * np.square(expected).mean()
    assert not np.allclose(exact, drifted, rtol=0.05, atol=0.05)
    if name not in ("self_attn.o_proj", "mlp.down_proj"):
        assert lags == [None] * len(lags)
        return
    before = [_hidden_before(open_source(folder), name) for folder in (source.folder, result)]
    expected = before[0] - before[1]
    assert np.square(np.concatenate(lags) - expected).mean() < 1e-3 * np.square(expected).mean()


def test_a_layer_can_be_passed_without_looking(source: Source, result: Path) -> None:
    looked, passed = _stream(source, result), _stream(source, result)
    for layer in (0, 1):
        for name in ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj"):
            looked.sums(layer, name)
        looked.leave(layer)
        passed.leave(layer)
    for one, other in zip(looked.hidden, passed.hidden, strict=True):
        assert all(mx.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_rows_under_way_are_read_as_they_will_be_from_the_disk(
    source: Source, result: Path
) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    written = WrittenTensors(result, plan_conversion(source.shapes, _RECIPE))
    expected = read_tensor(open_source(result), name)
    assert mx.array_equal(written.read(name), expected)
    rows = read_tensor(source, name)
    for half in (rows[:100], rows[100:]):
        written.add(name, store_rows(half, QuantFormat(64, 4), mx.bfloat16).parts)
    assert mx.array_equal(written.read(name), expected)
    ids = np.array([[3, 5, 3]])
    table = read_tensor(open_source(result), "model.embed_tokens.weight")
    assert mx.array_equal(written.embed(ids), table[mx.array(ids)])


def _drifting(tokens: int, columns: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and what of them reaches a matrix: a fixed linear change, and some noise."""
    generator = np.random.default_rng(tokens)
    exact = generator.standard_normal((tokens, columns)).astype(np.float32)
    mix = np.random.default_rng(0).standard_normal((columns, columns)) * 0.2 / np.sqrt(columns)
    noise = generator.standard_normal(exact.shape) * 0.01
    return exact, (exact + exact @ mix + noise).astype(np.float32)


def _sums(exact: np.ndarray, drifted: np.ndarray, lag: np.ndarray | None = None) -> ColumnSums:
    sums = ColumnSums(has_curvature=True, has_drift=True)
    for begin in range(0, len(exact), 100):
        span = slice(begin, begin + 100)
        sums.add(exact[span], drifted[span], lag=None if lag is None else lag[span])
    return sums


def test_what_the_result_lacks_is_foretold_by_ridge_regression() -> None:
    exact, drifted = _drifting(600)
    lag = (drifted @ np.random.default_rng(4).standard_normal((64, 24))).astype(np.float32)
    (block,) = _sums(exact, drifted, lag).statistics(32).blocks
    hessian = drifted.T.astype(np.float64) @ drifted
    hessian += _RIDGE * np.diag(hessian).mean() * np.eye(64)
    for found, missing in ((block.correction, exact - drifted), (block.addition, lag)):
        expected = np.linalg.solve(hessian, drifted.T.astype(np.float64) @ missing).T
        assert found is not None
        assert np.allclose(np.array(found), expected, atol=1e-4)


def test_blocks_share_what_the_hidden_states_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magistral_convert.calibration.column_sums._BLOCK_COLUMNS", 128)
    exact, drifted = _drifting(1200, 256)
    lag = np.random.default_rng(4).standard_normal((1200, 24)).astype(np.float32)
    blocks = _sums(exact, drifted, lag).statistics(32).blocks
    assert len(blocks) == 2
    for block in blocks:
        columns = slice(block.begin, block.begin + 128)
        alone = _sums(exact[:, columns], drifted[:, columns], lag).statistics(32).blocks[0]
        assert block.addition is not None
        assert np.allclose(2 * block.addition, alone.addition, atol=1e-5)


def test_few_tokens_foretell_nothing_of_wide_inputs(source: Source, result: Path) -> None:
    # 20 rows of 40 are 4 for each column of q_proj, and fewer for each of o_proj.
    stream = _stream(source, result, _TOKENS[:20])
    assert stream.sums(0, "self_attn.q_proj").statistics(32).blocks[0].correction is not None
    (block,) = stream.sums(0, "self_attn.o_proj").statistics(32).blocks
    assert (block.correction, block.addition) == (None, None)


def test_rows_make_good_what_their_inputs_lost() -> None:
    exact, drifted = _drifting(600)
    fresh, fresh_drifted = _drifting(601)
    rows = mx.array(np.random.default_rng(2).standard_normal((96, 64)).astype(np.float32))
    wanted = fresh @ np.array(rows).T
    left = []
    for aimed_at in (exact, drifted):  # with the drift known, and as if there were none
        stored = store_rows(rows, _FORMAT, mx.bfloat16, _sums(aimed_at, drifted).statistics(32))
        values = np.array(dequantized(stored.parts, _FORMAT))
        difference = float(np.square(np.array(rows) - values).sum())
        assert stored.squared_error == pytest.approx(difference, rel=1e-3)
        left.append(np.square(fresh_drifted @ values.T - wanted).mean())
    assert left[0] < left[1] / 2


def test_rows_make_good_what_the_hidden_states_lack() -> None:
    exact, _ = _drifting(600)
    fresh, _ = _drifting(601)
    generator = np.random.default_rng(2)
    rows = mx.array(generator.standard_normal((96, 64)).astype(np.float32))
    change = generator.standard_normal((64, 96)).astype(np.float32) * 0.3
    wanted = fresh @ (np.array(rows).T + change)
    left = []
    for lag in (exact @ change, None):
        statistics = _sums(exact, exact, lag).statistics(32)
        parts = [
            store_rows(half, _FORMAT, mx.bfloat16, statistics.of_rows(begin, begin + 48)).parts
            for begin, half in ((0, rows[:48]), (48, rows[48:]))
        ]
        values = np.concatenate([np.array(dequantized(each, _FORMAT)) for each in parts])
        left.append(np.square(fresh @ values.T - wanted).mean())
    assert left[0] < left[1] / 2


def test_the_whole_is_nearer_for_knowing_the_drift(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, recipe = calibration_text(), Recipe(4, method=Method.CALIBRATED)
    convert_checkpoint(source, tmp_path / "with", recipe, text=text)
    monkeypatch.setattr(
        "magistral_convert.calibration.column_sums.has_enough_tokens", lambda *_: False
    )
    convert_checkpoint(source, tmp_path / "without", recipe, text=text)
    knowing, blind = (
        compare_models(source, open_source(tmp_path / name), text.held_out).kl_mean
        for name in ("with", "without")
    )
    assert knowing < 0.95 * blind
