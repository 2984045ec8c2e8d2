"""How much each token counts where errors are made good: against mlx's own gradients."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from magistral_convert.calibration import importance
from magistral_convert.calibration.calibration import Calibration
from magistral_convert.calibration.column_sums import ColumnSums
from magistral_convert.calibration.importance import TokenImportance, importance_bytes
from magistral_convert.output.plan import plan_conversion
from magistral_convert.output.written import WrittenTensors
from magistral_convert.progress import Watcher
from magistral_convert.recipe import Method, Recipe
from magistral_convert.rounding.methods import store_rows
from magistral_convert.rounding.quantize import dequantized
from magistral_convert.sources.kinds import open_source
from magistral_convert.sources.layer_weights import read_tensor
from magistral_convert.sources.source import Source
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.quant_config import QuantFormat
from mlx_magistral.model.weights import load_model
from tests.convert.tiny_checkpoints import PARAMS, native_weights, write_native

_EMBEDDING = "model.embed_tokens.weight"
_LONG = np.random.default_rng(6).integers(0, 192, (16, 40))
_TOKENS = np.random.default_rng(5).integers(0, 192, (4, 10))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The tiny model in float32."""
    return open_source(write_native(tmp_path_factory.mktemp("exact"), native_weights(mx.float32)))


def _importance(source: Source, folder: Path, tokens: np.ndarray = _TOKENS) -> TokenImportance:
    return TokenImportance(source, tokens, folder / "importance.npz", Watcher())


class _Shifted(nn.Module):
    """A module with something added to what it brings."""

    def __init__(self, inner: nn.Module, shift: mx.array) -> None:
        super().__init__()
        self.inner, self.shift = inner, shift

    def __call__(self, x: mx.array) -> mx.array:
        return self.inner(x) + self.shift


def _gradient(source: Source, module_of: Callable[[nn.Module], nn.Module], name: str) -> np.ndarray:
    """Each token's gradient at what one module brings, by automatic differentiation."""
    model = load_model(source.folder).model
    parent = module_of(model)
    inner = getattr(parent, name)
    tokens = mx.array(_TOKENS)

    def loss(shift: mx.array) -> mx.array:
        setattr(parent, name, _Shifted(inner, shift))
        logits = model(tokens)[:, :-1]
        picked = mx.take_along_axis(logits, tokens[:, 1:, None], axis=-1)[..., 0]
        return mx.sum(mx.logsumexp(logits, axis=-1) - picked)

    width = inner.weight.shape[1 if name == "embed_tokens" else 0]
    return np.array(mx.grad(loss)(mx.zeros((*_TOKENS.shape, width))))


def _squares(source: Source, module_of: Callable[[nn.Module], nn.Module], name: str) -> np.ndarray:
    return np.square(_gradient(source, module_of, name)).sum(-1)


@pytest.mark.parametrize("group_tokens", [8192, 20])  # all at once; two rows at a time
def test_the_squared_gradients_are_mlx_s(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_tokens: int
) -> None:
    monkeypatch.setattr(importance, "_GROUP_TOKENS", group_tokens)
    monkeypatch.setattr(importance, "_BATCH_TOKENS", 10)
    measured = _importance(source, tmp_path).measure()
    found = measured.of_outputs
    expected = {
        7 * 1 + 3: _squares(source, lambda model: model.model.layers[1].self_attn, "o_proj"),
        7 * 2 + 6: _squares(source, lambda model: model.model.layers[2].mlp, "down_proj"),
        7 * 0 + 5: _squares(source, lambda model: model.model.layers[0].mlp, "up_proj"),
        -1: _squares(source, lambda model: model, "lm_head"),
    }
    for place, squares in expected.items():
        # Hidden states wait in bfloat16.
        assert np.allclose(found[place], squares, rtol=0.1, atol=0.02 * squares.max()), place
    entering = _gradient(source, lambda model: model.model, "embed_tokens").reshape(-1, 128)
    together = entering.T @ entering
    assert np.allclose(measured.of_embedding, together, rtol=0.1, atol=0.02 * together.max())


def test_half_is_shared_out_by_what_errors_cost(source: Source, tmp_path: Path) -> None:
    known = _importance(source, tmp_path)
    squares = known.measure().of_outputs[7 * 1 + 4]
    weights = known.of_matrix(1, "mlp.gate_proj")
    assert np.allclose(weights - 1, squares / squares.mean(), rtol=1e-5)
    assert weights.sum() == pytest.approx(2 * _TOKENS.size)
    assert known.of_head().shape == _TOKENS.shape
    # What no token follows bends no loss.
    assert np.allclose(known.of_matrix(2, "mlp.down_proj")[:, -1], 1)


def test_of_a_long_text_some_rows_are_measured(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance, "importance_tokens", lambda config: 15)
    known = _importance(source, tmp_path)
    assert known.measure().of_outputs.shape == (7 * 3 + 1, 2, 10)
    weights = known.of_matrix(1, "self_attn.o_proj")
    assert np.array_equal(weights[1:3], np.ones((2, 10)))
    assert weights.sum() == pytest.approx(2 * _TOKENS.size)


def test_a_later_run_takes_what_was_measured_unless_it_is_damaged(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    measured = importance.stream_gradients

    def counted(*arguments: object) -> object:
        passes.append(arguments)
        return measured(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(importance, "stream_gradients", counted)

    def found() -> list[np.ndarray]:
        return list(vars(_importance(source, tmp_path).measure()).values())

    first = found()
    assert all(map(np.array_equal, found(), first))
    assert len(passes) == 1
    file = tmp_path / "importance.npz"
    file.write_bytes(file.read_bytes()[:-4])
    assert all(map(np.array_equal, found(), first))
    assert len(passes) == 2


def test_the_embedding_is_rounded_where_errors_cost_least(source: Source, tmp_path: Path) -> None:
    table, format = read_tensor(source, _EMBEDDING), QuantFormat(32, 4)
    written = WrittenTensors(tmp_path, plan_conversion(source.shapes, Recipe(4, 32)))
    costs = []
    for each in (written, None):  # calibrated, and the search alone
        recipe = Recipe(4, 32, method=Method.CALIBRATED)
        known = Calibration(source, _LONG, recipe, tmp_path, written=each).statistics(_EMBEDDING)
        errors = table - dequantized(store_rows(table, format, mx.bfloat16, known).parts, format)
        hessian = _importance(source, tmp_path, _LONG).measure().of_embedding
        costs.append(float(np.sum((np.array(errors) @ hessian) * np.array(errors))))
    assert costs[0] < 0.75 * costs[1]


@pytest.mark.parametrize("kind", [np.array, mx.array])  # as on a CPU, and as on a GPU
@pytest.mark.parametrize("at_once", [True, False])
def test_a_token_that_counts_twice_is_there_twice(
    kind: Callable[[np.ndarray], object], at_once: bool
) -> None:
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((300, 64)).astype(np.float32)
    lack = generator.standard_normal((300, 8)).astype(np.float32)
    counts = generator.integers(1, 4, 300)
    weighted, repeated = (ColumnSums(has_curvature=True, of_outputs=True) for _ in range(2))
    weights = counts.astype(np.float32)
    if at_once:
        weighted.add(kind(inputs), [kind(lack)], weights)
    else:  # once all of them, and in a copy so much more
        weighted.add(kind(inputs), [kind(lack)])
        once, weighted = weighted, weighted.copy()
        weighted.count_more(kind(inputs), [kind(lack)], weights - 1)
        assert (
            once.statistics(64).importance.sum() < weighted.copy().statistics(64).importance.sum()
        )
    repeated.add(kind(np.repeat(inputs, counts, axis=0)), [kind(np.repeat(lack, counts, axis=0))])
    found, expected = (sums.statistics(64) for sums in (weighted, repeated))
    assert np.allclose(found.importance, expected.importance, rtol=1e-4)
    one, other = found.blocks[0], expected.blocks[0]
    assert np.allclose(one.curvature.weight, other.curvature.weight, rtol=1e-3)
    assert np.allclose(one.addition, other.addition, atol=1e-3)


def test_memory_is_told_for_the_logits_of_a_large_vocabulary() -> None:
    small = ModelConfig(**PARAMS, tie_word_embeddings=False)
    told = importance_bytes(small, 10**6, 10**5)
    assert importance_bytes(replace(small, vocab_size=200), 10**6, 10**5) == told
    grown = importance_bytes(replace(small, vocab_size=131072), 10**6, 10**5) - told
    assert grown > 4 * 1024 * 131072  # of 1,024 tokens, in float32
