"""The streamed layer against the model itself, and its gradient against mlx's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from magistral_convert.calibration.backward import layer_backward, norm_backward
from magistral_convert.calibration.layer import layer_forward
from magistral_convert.calibration.sensitivity import measure_sensitivities
from magistral_convert.compare import compare_models
from magistral_convert.recipe import Method, Recipe, module_path
from magistral_convert.sources.kinds import open_source
from magistral_convert.sources.layer_weights import embed, read_layer, read_tensor
from magistral_convert.sources.source import Source
from mlx_magistral.errors import ConversionError
from mlx_magistral.model.quant_config import QuantFormat
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import load_model
from tests.convert.tiny_checkpoints import PARAMS, native_weights, write_native

_TOKENS = np.array([[1, 5, 9, 100, 33, 44, 2, 8], [3, 5, 9, 11, 33, 44, 22, 80]])


@pytest.fixture(scope="module")
def exact_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in float32."""
    return write_native(tmp_path_factory.mktemp("exact"), native_weights(mx.float32))


@pytest.fixture(scope="module")
def source(exact_folder: Path) -> Source:
    """The same, open for conversion."""
    return open_source(exact_folder)


@pytest.mark.parametrize("kind", [np.array, mx.array])  # as on a CPU, and as on a GPU
def test_the_layers_compute_what_the_model_does(
    source: Source, exact_folder: Path, kind: Callable[[mx.array], Any]
) -> None:
    model, _ = load_model(exact_folder)
    hidden = kind(embed(source, _TOKENS))
    for layer in range(PARAMS["n_layers"]):
        hidden = layer_forward(read_layer(source, layer), hidden, source.config)
    gain = mx.load(str(exact_folder / "consolidated.safetensors"))["norm.weight"]
    normed = mx.fast.rms_norm(mx.array(hidden), gain, source.config.norm_eps)
    expected = model(mx.array(_TOKENS))
    actual = normed @ mx.load(str(exact_folder / "consolidated.safetensors"))["output.weight"].T
    assert float(mx.max(mx.abs(actual - expected))) < 1e-4


def test_every_matrix_shows_its_input(source: Source) -> None:
    seen: dict[str, tuple[int, ...]] = {}

    def on_input(names: tuple[str, ...], inputs: np.ndarray) -> None:
        seen.update(dict.fromkeys(names, inputs.shape))

    layer_forward(read_layer(source, 0), np.array(embed(source, _TOKENS)), source.config, on_input)
    shapes = source.shapes
    for name, shape in seen.items():
        assert shape == (_TOKENS.size, shapes[f"model.layers.0.{name}.weight"][1])
    assert len(seen) == 7


@pytest.mark.parametrize("kind", [np.array, mx.array])
def test_the_gradient_is_mlx_s(source: Source, kind: Callable[[mx.array], Any]) -> None:
    weights, hidden = read_layer(source, 1), mx.random.normal((2, 6, 128))
    cotangent = mx.random.normal(hidden.shape)
    gradients: dict[str, Any] = {}

    def keep(name: str, inputs: Any, outputs: Any) -> None:
        gradients[name] = outputs.T @ inputs

    def traceable(hidden: mx.array, matrices: dict[str, mx.array]) -> mx.array:
        model = Transformer(source.config)
        model.layers[1].load_weights(list({**weights, **matrices}.items()))
        output = model.layers[1](hidden, "causal", None)
        return mx.sum(output * cotangent)

    matrices = {name: array for name, array in weights.items() if array.ndim == 2}
    expected, by_matrix = mx.grad(traceable, argnums=(0, 1))(hidden, matrices)
    actual = layer_backward(weights, kind(hidden), kind(cotangent), source.config, keep)
    assert float(mx.max(mx.abs(mx.array(actual) - expected))) < 1e-3 * float(
        mx.max(mx.abs(expected))
    )
    for name, gradient in gradients.items():
        wanted = by_matrix[f"{name}.weight"]
        error = float(mx.max(mx.abs(mx.array(gradient) - wanted)))
        assert error < 1e-3 * float(mx.max(mx.abs(wanted))), name
    assert len(gradients) == 7


def test_the_norm_s_gradient_is_mlx_s() -> None:
    hidden, gain = mx.random.normal((3, 16)), mx.random.normal((16,))
    gradient = mx.random.normal(hidden.shape)
    _, (expected,) = mx.vjp(lambda x: mx.fast.rms_norm(x, gain, 1e-5), [hidden], [gradient])
    assert mx.allclose(norm_backward(hidden, gain, gradient, 1e-5), expected, atol=1e-5)


def _costs(source: Source, recipe: Recipe) -> dict[str, list[float]]:
    """What each matrix costs at 4, 6 and 8 bits in groups of 64."""
    formats = [QuantFormat(64, bits) for bits in (4, 6, 8)]
    modules = [module_path(name) for name, shape in source.shapes.items() if len(shape) == 2]
    costs = measure_sensitivities(source, _TOKENS, dict.fromkeys(modules, formats), recipe)
    return {module: [each[form] for form in formats] for module, each in costs.items()}


def test_sensitivity_falls_with_width_and_tells_the_loss(source: Source) -> None:
    costs = _costs(source, Recipe(4))
    assert len(costs) == 7 * PARAMS["n_layers"] + 2  # the embedding and the head
    for module, (four, six, eight) in costs.items():
        assert four > six > eight > 0, module


def test_the_embedding_is_weighed_by_the_gradient_at_its_rows(
    source: Source, exact_folder: Path
) -> None:
    # Every id once, so that the gradient of a row is that of its one token.
    tokens = np.array([[1, 5, 9, 100, 33, 44, 2, 8]])
    form = QuantFormat(64, 4)
    modules = [module_path(name) for name, shape in source.shapes.items() if len(shape) == 2]
    formats = dict.fromkeys(modules, [form])
    cost = measure_sensitivities(source, tokens, formats, Recipe(4))["model.embed_tokens"][form]
    model, _ = load_model(exact_folder)
    table = read_tensor(source, "model.embed_tokens.weight")

    def loss(table: mx.array) -> mx.array:
        model.model.embed_tokens.weight = table
        logits = model(mx.array(tokens))[0, :-1]
        targets = mx.array(tokens[0, 1:])
        return mx.sum(mx.logsumexp(logits, axis=-1) - logits[mx.arange(targets.size), targets])

    gradient = mx.grad(loss)(table)
    stored = mx.dequantize(*mx.quantize(table, 64, 4), 64, 4)
    expected = float(mx.sum(mx.square(gradient * (table - stored)))) / 2
    assert cost == pytest.approx(expected, rel=0.05)


def test_costs_are_what_a_method_leaves_of_each_kind_of_matrix(source: Source) -> None:
    plain, searched, calibrated = (_costs(source, Recipe(4, method=method)) for method in Method)
    assert searched["model.embed_tokens"] == plain["model.embed_tokens"]
    assert calibrated["model.embed_tokens"][0] < plain["model.embed_tokens"][0] / 2
    assert calibrated["lm_head"][0] < searched["lm_head"][0] < plain["lm_head"][0]
    left = {module: calibrated[module][0] / plain[module][0] for module in plain}
    assert left["model.layers.1.self_attn.q_proj"] < left["model.layers.1.mlp.down_proj"] / 2


def test_a_model_is_no_distance_from_itself(source: Source) -> None:
    same = compare_models(source, source, _TOKENS)
    assert same.kl_mean == 0
    assert same.top1_agreement == 1
    assert same.perplexity_a == same.perplexity_b
    assert same.layer_errors == (0.0, 0.0, 0.0)


def test_the_distance_is_the_one_of_the_whole_models(source: Source, tmp_path: Path) -> None:
    other_folder = write_native(tmp_path / "other", native_weights(mx.float32, seed=1))
    measured = compare_models(source, open_source(other_folder), _TOKENS)
    logs = []
    for folder in (source.folder, other_folder):
        logits = load_model(folder)[0](mx.array(_TOKENS))
        logs.append(np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True)))
    kl = (np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=-1)
    assert measured.tokens == _TOKENS.size
    assert measured.kl_mean == pytest.approx(kl.mean(), rel=1e-3)
    assert measured.kl_median == pytest.approx(np.median(kl), rel=1e-3)
    agreement = (logs[0].argmax(-1) == logs[1].argmax(-1)).mean()
    assert measured.top1_agreement == pytest.approx(agreement)
    following = np.take_along_axis(logs[1][:, :-1], _TOKENS[:, 1:, None], axis=-1)
    assert measured.perplexity_b == pytest.approx(np.exp(-following.mean()), rel=1e-3)


def test_each_kind_of_text_has_its_own_distance(source: Source, tmp_path: Path) -> None:
    other = open_source(write_native(tmp_path / "other", native_weights(mx.float32, seed=1)))
    kinds = np.array([["prose"] * 8, ["code"] * 8])
    both = compare_models(source, other, _TOKENS, kinds=kinds)
    for row, kind in enumerate(("prose", "code")):
        alone = compare_models(source, other, _TOKENS[row : row + 1])
        part = both.by_kind[kind]
        assert part.tokens == 8
        assert part.kl_mean == pytest.approx(alone.kl_mean, rel=1e-4)
        assert part.top1_agreement == alone.top1_agreement
    assert list(both.summary()["by kind"]) == ["code", "prose"]


def test_models_of_different_shapes_are_refused(source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    weights = {n: a for n, a in native_weights().items() if not n.startswith("layers.2.")}
    write_native(folder, weights)
    (folder / "params.json").write_text(json.dumps({**PARAMS, "n_layers": 2}))
    with pytest.raises(ConversionError, match="differ in n_layers: 3 and 2"):
        compare_models(source, open_source(folder), _TOKENS)
