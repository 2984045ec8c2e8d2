"""What is made trainable: the layers that were asked for, in a width that keeps small steps."""

from pathlib import Path

import mlx.core as mx
import pytest
from mlx.nn.layers.quantized import QuantizedLinear
from model.builders import SMALL, random_weights, write_hf
from training_models import trained_model

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral.errors import TrainingError
from mlx_magistral.model.adapters.placing import adapted_modules
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import load_model
from mlx_magistral.train.gradients import trainable
from mlx_magistral.train.method import prepare
from mlx_magistral.train.options import Method, TrainOptions
from mlx_magistral.train.plan import trained_count

TOKENS = mx.array([[5, 9, 2, 77, 31]])


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("num_layers", [-1, 1])
def test_the_plan_counts_what_is_trained(method: Method, num_layers: int) -> None:
    options = TrainOptions(rank=4, method=method, num_layers=num_layers)
    counted = sum(each.size for each in trainable(trained_model(options)).values())
    assert counted == trained_count(SMALL, options)


def bf16_model() -> Transformer:
    model = Transformer(SMALL)
    model.load_weights(list(random_weights(SMALL, mx.bfloat16).items()))
    return model


@pytest.mark.parametrize("method", list(Method))
def test_it_begins_as_the_model_and_trains_in_32_bits(method: Method) -> None:
    model = bf16_model()
    plain = model(TOKENS)
    prepare(model, TrainOptions(rank=4, method=method))
    assert {each.dtype for each in trainable(model).values()} == {mx.float32}
    logits = model(TOKENS)
    assert mx.abs(logits - plain).max() <= 0.02
    assert logits.dtype == (mx.float32 if method is Method.FULL else mx.bfloat16)


def test_the_last_layers_are_chosen() -> None:
    model = trained_model(TrainOptions(rank=4, num_layers=1))
    assert {path.split(".")[2] for path in adapted_modules(model)} == {"1"}


@pytest.fixture
def quantized(tmp_path: Path) -> Transformer:
    write_hf(tmp_path / "base")
    convert_checkpoint(open_source(tmp_path / "base"), tmp_path / "4bit", Recipe(4, 32))
    return load_model(tmp_path / "4bit").model


def test_quantized_weights_are_unpacked_for_a_cpu_with_their_values(quantized: Transformer) -> None:
    plain = quantized(TOKENS)
    prepare(quantized, TrainOptions(rank=4))
    assert not any(isinstance(each, QuantizedLinear) for _, each in quantized.named_modules())
    # Sums of bf16 in another order.
    assert mx.abs(quantized(TOKENS) - plain).max() <= 0.05


def test_quantized_weights_are_not_trained_in_full(quantized: Transformer) -> None:
    with pytest.raises(TrainingError, match="these are quantized"):
        prepare(quantized, TrainOptions(method=Method.FULL))
