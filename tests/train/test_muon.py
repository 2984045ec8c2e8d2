"""Muon inside, AdamW for the rest: each as MLX's own would, in one state that is saved and read."""

import mlx.core as mx
import pytest
from mlx.optimizers import AdamW, Muon

from mlx_magistral.train.muon import RATE_RATIO, make_muon
from mlx_magistral.train.optimizer import flat_state, restore_state
from mlx_magistral.train.options import TrainOptions

Arrays = dict[str, mx.array]

RATE = 0.003
SHAPES = {"layer": (24, 16), "norm": (64,), "head": (40, 16)}


def drawn(seed: int) -> Arrays:
    """A normal array of each shape."""
    keys = mx.random.split(mx.random.key(seed), len(SHAPES))
    return {
        name: mx.random.normal(shape, key=key)
        for (name, shape), key in zip(SHAPES.items(), keys, strict=True)
    }


def made(bits: int = 32) -> AdamW:
    """Of all but the head the matrices are Muon's."""
    optimizer = make_muon(TrainOptions(optimizer_bits=bits), lambda name: name != "head")
    optimizer.init(drawn(0))
    optimizer.learning_rate = RATE
    return optimizer


def steps(optimizer: AdamW, parameters: Arrays, seeds: range) -> Arrays:
    """Parameters after a step for each."""
    for seed in seeds:
        parameters = optimizer.apply_gradients(drawn(seed), parameters)
    return parameters


@pytest.mark.parametrize("name", SHAPES)
def test_a_parameter_takes_the_steps_of_its_own_optimizer(name: str) -> None:
    alone = (
        Muon(RATE_RATIO * RATE, weight_decay=0.0)
        if name == "layer"
        else AdamW(RATE, betas=[0.9, 0.999], weight_decay=0.0, bias_correction=True)
    )
    wanted = {name: drawn(0)[name]}
    for seed in range(1, 4):
        wanted = alone.apply_gradients({name: drawn(seed)[name]}, wanted)
    found = steps(made(), drawn(0), range(1, 4))
    assert mx.allclose(found[name], wanted[name], atol=1e-6).item()


@pytest.mark.parametrize("bits", [32, 8])
def test_going_on_from_what_was_kept_is_as_if_nothing_had_been(bits: int) -> None:
    whole, first, second = made(bits), made(bits), made(bits)
    half = steps(first, drawn(0), range(1, 3))
    restore_state(second, flat_state(first, list(SHAPES)), list(SHAPES))
    found, wanted = steps(second, half, range(3, 5)), steps(whole, drawn(0), range(1, 5))
    assert all(mx.array_equal(found[name], wanted[name]).item() for name in SHAPES)


def test_a_smaller_state_takes_steps_of_nearly_the_same_direction() -> None:
    small, large = (steps(made(bits), drawn(0), range(1, 4)) for bits in (8, 32))
    moved, wanted = (each["layer"] - drawn(0)["layer"] for each in (small, large))
    product = (moved * wanted).sum() / mx.linalg.norm(moved) / mx.linalg.norm(wanted)
    assert float(product.item()) > 0.99


def test_the_state_of_a_matrix_is_half_of_adamws_or_a_quarter() -> None:
    sizes = {bits: made(bits).state["layer"]["v"].nbytes for bits in (32, 8)}
    assert sizes == {32: 4 * 24 * 16, 8: 2 * 24 * 16}
