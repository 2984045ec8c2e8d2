"""Adapters of mlx-lm give here the logits that they give there."""

from pathlib import Path

import mlx.core as mx
import pytest
from mlx.nn.layers.quantized import quantize
from model.adapters.folders import write_adapter
from model.builders import SMALL, write_hf

from mlx_magistral.model.adapters.placing import place_adapter
from mlx_magistral.model.adapters.reading import read_adapter
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import load_model

tuner = pytest.importorskip("mlx_lm.tuner.utils", reason="mlx-lm is in the dev extra")

TOKENS = mx.array([[5, 9, 2, 77, 31, 8, 1], [3, 4, 100, 2, 50, 6, 9]])


def models(folder: Path, bits: int | None) -> tuple[Transformer, Transformer]:
    pair = load_model(folder).model, load_model(folder).model
    for model in pair if bits else ():
        quantize(model, group_size=32, bits=bits)
    return pair


@pytest.mark.parametrize("bits", [None, 8, 4])
@pytest.mark.parametrize("is_dora", [False, True])
def test_logits_equal(tmp_path: Path, bits: int | None, is_dora: bool) -> None:
    ours, theirs = models(write_hf(tmp_path / "base"), bits)
    plain = ours(TOKENS)
    folder = write_adapter(tmp_path / "adapter", SMALL, is_dora=is_dora)
    place_adapter(ours, read_adapter(folder))
    tuner.load_adapters(theirs, str(folder))
    theirs.eval()
    assert mx.abs(ours(TOKENS) - plain).max() > 0.1
    # Theirs unpacks the matrix for DoRA, so sums are rounded in another order.
    assert mx.abs(ours(TOKENS) - theirs(TOKENS)).max() <= (2e-5 if is_dora else 5e-6)


def test_weights_trained_in_full_equal(tmp_path: Path) -> None:
    ours, theirs = models(write_hf(tmp_path / "base"), None)
    folder = write_adapter(tmp_path / "adapter", SMALL, fine_tune_type="full")
    name = "model.layers.1.mlp.up_proj.weight"
    weight = mx.random.normal((SMALL.hidden_dim, SMALL.dim), key=mx.random.key(1))
    mx.save_safetensors(str(folder / "adapters.safetensors"), {name: weight})
    place_adapter(ours, read_adapter(folder))
    tuner.load_adapters(theirs, str(folder))
    assert mx.array_equal(ours(TOKENS), theirs(TOKENS))
