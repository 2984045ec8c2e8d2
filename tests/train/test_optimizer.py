"""The optimizer is mlx's, in 8 bits nearly so; rates and clipping do what they say."""

import mlx.core as mx
import pytest

from mlx_magistral.train.optimizer import clipped, flat_state, make_optimizer, rate_at
from mlx_magistral.train.options import TrainOptions


def descend(bits: int, steps: int = 60) -> mx.array:
    """Towards a target, by noisy gradients."""
    target = mx.random.normal((32, 20), key=mx.random.key(0))
    optimizer = make_optimizer(TrainOptions(optimizer_bits=bits, weight_decay=0.0))
    parameters = {"w": mx.zeros((32, 20)), "odd": mx.zeros((3,))}
    optimizer.init(parameters)
    optimizer.learning_rate = 0.03
    for step in range(steps):
        noise = 0.3 * mx.random.normal((32, 20), key=mx.random.key(step))
        gradients = {"w": parameters["w"] - target + noise, "odd": parameters["odd"] - 1}
        parameters = optimizer.apply_gradients(gradients, parameters)
    return mx.abs(parameters["w"] - target).mean()


def test_eight_bits_descend_as_far_as_thirty_two() -> None:
    assert float(descend(8).item()) <= 1.15 * float(descend(32).item()) < 0.2


def test_eight_bits_take_a_third_of_the_memory() -> None:
    parameters = {"w": mx.zeros((640, 16))}
    sizes = []
    for bits in (32, 8):
        optimizer = make_optimizer(TrainOptions(optimizer_bits=bits))
        optimizer.init(parameters)
        sizes.append(sum(each.nbytes for each in flat_state(optimizer, ["w"]).values()))
    assert sizes[1] <= 0.33 * sizes[0]


def test_the_rate_rises_and_falls() -> None:
    options = TrainOptions(iters=100, learning_rate=1.0, warmup=0.1)
    rates = [rate_at(step, options) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[99] == pytest.approx(0.1, abs=1e-3)


def test_long_gradients_are_shortened_together() -> None:
    gradients = {"a": mx.array([3.0]), "b": mx.array([4.0])}
    shortened, norm = clipped(gradients, 1.0)
    assert float(norm.item()) == pytest.approx(5.0)
    assert float(shortened["b"].item()) == pytest.approx(0.8, rel=1e-4)
    assert float(clipped(gradients, 10.0)[0]["b"].item()) == pytest.approx(4.0)
