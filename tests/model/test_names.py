"""The name table is one to one, and permute is what its worked example says."""

import mlx.core as mx
import pytest
from model.builders import CONFIGS, SMALL

from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import (
    expected_shapes,
    hf_name,
    native_name,
    permute,
    quantized_shapes,
    unpermute,
)


@pytest.mark.parametrize("name", expected_shapes(SMALL))
def test_names_go_there_and_back(name: str) -> None:
    native = native_name(name)
    assert native is not None and native != name
    assert hf_name(native) == name


@pytest.mark.parametrize("name", ["rope.freqs", "layers.0.attention.wz.weight", "norm", ""])
def test_unknown_native_name(name: str) -> None:
    assert hf_name(name) is None


def test_permute_puts_even_rows_first_in_each_head() -> None:
    rows = mx.arange(12)[:, None]
    assert permute(rows, 6)[:, 0].tolist() == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_unpermute_undoes_permute(config: ModelConfig) -> None:
    weight = mx.random.normal((config.n_heads * config.head_dim, config.dim))
    assert mx.array_equal(unpermute(permute(weight, config.head_dim), config.head_dim), weight)
    assert mx.array_equal(permute(unpermute(weight, config.head_dim), config.head_dim), weight)


def test_magistral_counts() -> None:
    config = ModelConfig(5120, 40, 128, 32768, 32, 8, 131072, 1e9, 1e-5, None, False)
    shapes = expected_shapes(config)
    assert len(shapes) == 363
    weights = 0
    for shape in shapes.values():
        count = 1
        for size in shape:
            count *= size
        weights += count
    assert weights == 23_572_403_200


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("group_size", [32, 64, 128])
def test_quantized_shapes_are_those_of_mlx(bits: int, group_size: int) -> None:
    parts = mx.quantize(mx.zeros((8, 256)), group_size=group_size, bits=bits)
    shapes = quantized_shapes("a.weight", (8, 256), group_size, bits)
    assert list(shapes) == ["a.weight", "a.scales", "a.biases"]
    assert [part.shape for part in parts] == list(shapes.values())
