"""Calibration beside the result so far: what reaches each matrix, and what it lacks."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, NamedTuple, cast

import mlx.core as mx
import numpy as np
import pytest

from magistral_convert.calibration.column_sums import _RIDGE, ColumnSums
from magistral_convert.calibration.importance import TokenImportance
from magistral_convert.calibration.layer import ATTENTION_OUTPUT, add_output, layer_forward
from magistral_convert.calibration.paired_stream import PairedStream, _exact_outputs
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


def _stream(
    source: Source,
    result: Path,
    tokens: np.ndarray = _TOKENS,
    importance: TokenImportance | None = None,
) -> PairedStream:
    plan = plan_conversion(source.shapes, _RECIPE)
    stream = PairedStream(source, WrittenTensors(result, plan), importance)
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


class _Seen(NamedTuple):
    inputs: np.ndarray  # (tokens, C)
    lacks: np.ndarray
    weights: np.ndarray | None


class _Spy(ColumnSums):
    """What sums are told, in place of adding it up."""

    added: ClassVar[list[_Seen]]
    more: ClassVar[list[_Seen]]
    taken: ClassVar[list[np.ndarray]]

    def add(
        self,
        inputs: np.ndarray,
        lacks: Sequence[np.ndarray] | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        assert lacks is not None
        self.added.append(_Seen(inputs, lacks[0], weights))

    def count_more(
        self,
        inputs: np.ndarray,
        lacks: Sequence[np.ndarray] | None,
        weights: np.ndarray | None,
    ) -> None:
        assert lacks is not None
        self.more.append(_Seen(inputs, lacks[0], weights))

    def take_off(self, matrix: np.ndarray) -> None:
        self.taken.append(matrix)

    def copy(self) -> "_Spy":
        return self


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> type[_Spy]:
    _Spy.added, _Spy.more, _Spy.taken = [], [], []
    monkeypatch.setattr("magistral_convert.calibration.paired_stream.ColumnSums", _Spy)
    return _Spy


def _told(
    source: Source, result: Path, name: str, spy: type[_Spy]
) -> tuple[np.ndarray, np.ndarray]:
    """What sums of a matrix of layer 1 are told of all tokens: inputs, and what is lacked."""
    stream = _stream(source, result)
    stream.leave(0)
    stream.sums(1, name)
    inputs, lacks = (np.concatenate([each[place] for each in spy.added]) for place in (0, 1))
    return inputs, lacks


def _is_near(found: np.ndarray, expected: np.ndarray, share: float) -> bool:
    """Hidden states wait in bfloat16."""
    return bool(np.square(found - expected).mean() < share * np.square(expected).mean())


@pytest.mark.parametrize("name", ["self_attn.k_proj", "mlp.up_proj"])
def test_inputs_are_the_results_and_lack_the_sources(
    source: Source, result: Path, name: str, spy: type[_Spy]
) -> None:
    inputs, lacks = _told(source, result, name, spy)
    exact, drifted = (_seen(open_source(each), 1)[name] for each in (source.folder, result))
    assert _is_near(inputs, drifted, 1e-4)
    assert _is_near(inputs + lacks, exact, 1e-4)
    assert not _is_near(inputs, exact, 1e-3)


@pytest.mark.parametrize("name", ["self_attn.o_proj", "mlp.down_proj"])
def test_an_output_lacks_all_that_the_source_is_ahead_after_it(
    source: Source, result: Path, name: str, spy: type[_Spy]
) -> None:
    inputs, lacks = _told(source, result, name, spy)
    drifted = _seen(open_source(result), 1)[name]
    assert _is_near(inputs, drifted, 1e-4)
    matrix = np.array(read_tensor(source, f"model.layers.1.{name}.weight").astype(mx.float32))
    before = [_hidden_before(open_source(each), name) for each in (source.folder, result)]
    exact = before[0] + _seen(source, 1)[name] @ matrix.T
    assert _is_near(lacks, exact - before[1], 1e-4)
    (taken,) = spy.taken
    assert np.array_equal(taken, matrix)


def test_tokens_that_count_more_are_added_for_each_matrix(
    source: Source, result: Path, spy: type[_Spy]
) -> None:
    counts = np.ones(_TOKENS.shape, np.float32)
    counts[[3, 17]] += np.arange(40) / 7
    importance = cast(TokenImportance, SimpleNamespace(of_matrix=lambda *_: counts))
    stream = _stream(source, result, importance=importance)
    for name in ("self_attn.q_proj", "self_attn.k_proj"):
        stream.sums(0, name)
    rows = np.concatenate([each.inputs for each in spy.added]).reshape(28, 40, -1)
    assert len(rows) == 28  # all of them once, for both
    inputs, weights = (
        np.concatenate([np.asarray(each[place]) for each in spy.more]) for place in (0, 2)
    )
    assert np.array_equal(inputs, np.tile(rows[[3, 17]].reshape(80, -1), (2, 1)))
    assert np.array_equal(weights, np.tile(counts[[3, 17]].ravel() - 1, 2))


def test_sums_of_a_stage_are_those_of_each_matrix_alone(source: Source, result: Path) -> None:
    counts = np.random.default_rng(5).integers(1, 4, _TOKENS.shape).astype(np.float32)
    counts[2:] = 1
    importance = cast(TokenImportance, SimpleNamespace(of_matrix=lambda *_: counts))
    stream = _stream(source, result, importance=importance)
    stream.sums(0, "self_attn.q_proj").statistics(32)
    found = stream.sums(0, "self_attn.k_proj").statistics(32)
    exact, drifted = (
        _seen(open_source(each), 0)["self_attn.k_proj"] for each in (source.folder, result)
    )
    whole = ColumnSums(has_curvature=True)
    whole.add(drifted, [exact - drifted], counts.ravel())
    expected = whole.statistics(32)
    # The model's hidden states are not in bfloat16 on the way.
    assert np.allclose(found.importance, expected.importance, rtol=2e-2)
    one, other = found.blocks[0], expected.blocks[0]
    assert _is_near(np.array(one.correction), np.array(other.correction), 1e-2)


@pytest.mark.parametrize("tokens", [_TOKENS, _TOKENS[:20]])
def test_a_layer_can_be_passed_without_looking(
    source: Source, result: Path, tokens: np.ndarray
) -> None:
    looked, passed = _stream(source, result, tokens), _stream(source, result, tokens)
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


def _sums(
    drifted: np.ndarray, lacks: Sequence[np.ndarray] | None, *, of_outputs: bool = False
) -> ColumnSums:
    sums = ColumnSums(has_curvature=True, of_outputs=of_outputs)
    for begin in range(0, len(drifted), 100):
        span = slice(begin, begin + 100)
        sums.add(drifted[span], None if lacks is None else [each[span] for each in lacks])
    return sums


@pytest.mark.parametrize(("of_outputs", "width"), [(False, 64), (True, 24)])
def test_what_the_result_lacks_is_foretold_by_ridge_regression(
    of_outputs: bool, width: int
) -> None:
    exact, drifted = _drifting(600)
    change = np.random.default_rng(4).standard_normal((64, width)).astype(np.float32)
    lack = (exact - drifted) @ change + drifted @ change / 9
    (block,) = _sums(drifted, [lack], of_outputs=of_outputs).statistics(32).blocks
    hessian = drifted.T.astype(np.float64) @ drifted
    hessian += _RIDGE * np.diag(hessian).mean() * np.eye(64)
    expected = np.linalg.solve(hessian, drifted.T.astype(np.float64) @ lack).T
    found = block.addition if of_outputs else block.correction
    assert found is not None
    assert np.allclose(np.array(found), expected, atol=1e-4)
    assert (block.correction if of_outputs else block.addition) is None


def test_each_block_predicts_what_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magistral_convert.calibration.column_sums._BLOCK_COLUMNS", 128)
    exact, drifted = _drifting(1200, 256)
    lacks = [(exact - drifted)[:, :128], (exact - drifted)[:, 128:]]
    blocks = _sums(drifted, lacks).statistics(32).blocks
    assert [block.begin for block in blocks] == [0, 128]
    for block, lack in zip(blocks, lacks, strict=True):
        alone = _sums(drifted[:, block.begin :][:, :128], [lack]).statistics(32).blocks[0]
        assert block.correction is not None
        assert np.allclose(block.correction, alone.correction, atol=1e-5)


def test_blocks_share_what_the_hidden_states_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magistral_convert.calibration.column_sums._BLOCK_COLUMNS", 128)
    exact, drifted = _drifting(1200, 256)
    generator = np.random.default_rng(4)
    matrix = generator.standard_normal((24, 256)).astype(np.float32)
    before = [generator.standard_normal((1, 1200, 24)).astype(np.float32) for _ in range(2)]
    after, ahead = _exact_outputs(mx.array(matrix), before, exact)
    assert np.allclose(after, before[0] + exact @ matrix.T, atol=1e-4)
    sums = _sums(drifted, ahead, of_outputs=True)
    sums.take_off(matrix)
    for block in sums.statistics(32).blocks:
        span = slice(block.begin, block.begin + 128)
        own = (exact - drifted)[:, span] @ matrix[:, span].T + (before[0] - before[1])[0] / 2
        alone = _sums(drifted[:, span], [own], of_outputs=True).statistics(32).blocks[0]
        assert block.addition is not None
        assert np.allclose(block.addition, alone.addition, atol=1e-4)


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
        statistics = _sums(drifted, [aimed_at - drifted]).statistics(32)
        stored = store_rows(rows, _FORMAT, mx.bfloat16, statistics)
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
    for lacks in ([exact @ change], None):
        statistics = _sums(exact, lacks, of_outputs=True).statistics(32)
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
