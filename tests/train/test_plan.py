"""The plan of a training: its arithmetic, what it chooses, and what it says where nothing fits."""

from dataclasses import replace

import pytest

from mlx_magistral.errors import MemoryPlanError
from mlx_magistral.memory.known import MAGISTRAL_SMALL
from mlx_magistral.memory.machine import Machine, simulated_mac
from mlx_magistral.memory.sizes import weight_bytes
from mlx_magistral.train.options import Method, TrainOptions
from mlx_magistral.train.plan import (
    PackLoad,
    activation_bytes,
    longest_that_fits,
    plan_training,
    trained_bytes,
    trained_count,
)

LORA = TrainOptions(rank=16)
WEIGHTS = weight_bytes(MAGISTRAL_SMALL, 4)


def mac(gigabytes: int) -> Machine:
    return simulated_mac(gigabytes << 30)


def test_magistrals_adapter_has_its_known_size() -> None:
    # 16 x (in + out) of q, k, v, o, gate, up and down, 40 times.
    by_hand = 40 * 16 * (9216 + 6144 + 6144 + 9216 + 3 * 37888)
    assert trained_count(MAGISTRAL_SMALL, LORA) == by_hand
    assert trained_bytes(MAGISTRAL_SMALL, LORA) == 16 * by_hand
    assert trained_bytes(MAGISTRAL_SMALL, replace(LORA, optimizer_bits=8)) < 11 * by_hand


def test_it_takes_all_layers_where_they_fit_and_one_where_not() -> None:
    load = [PackLoad.one(2048)]
    large = Machine("large", mac(128).backend, 10**12)
    assert not plan_training(MAGISTRAL_SMALL, WEIGHTS, LORA, load, large).is_checkpointed
    small = plan_training(MAGISTRAL_SMALL, WEIGHTS, LORA, load, mac(32))
    assert small.is_checkpointed
    assert small.fits


def test_the_longest_example_decides() -> None:
    loads = [PackLoad.one(512), PackLoad.one(8192), PackLoad.one(2048)]
    plan = plan_training(MAGISTRAL_SMALL, WEIGHTS, LORA, loads, mac(128))
    assert plan.longest_tokens == 8192
    assert plan == plan_training(MAGISTRAL_SMALL, WEIGHTS, LORA, loads[1:2], mac(128))


def test_a_refusal_has_the_numbers_and_what_would_fit() -> None:
    plan = plan_training(MAGISTRAL_SMALL, WEIGHTS, LORA, [PackLoad.one(40960)], mac(32))
    with pytest.raises(MemoryPlanError, match=r"does not fit a Mac with 32 GB\. Memory: weights"):
        plan.require_fit()
    longest = longest_that_fits(MAGISTRAL_SMALL, WEIGHTS, LORA, mac(32), 40960)
    assert 2048 <= longest < 40960
    assert f"--max-seq-len {longest} would fit" in plan.advice


def test_weights_that_do_not_fit_say_so() -> None:
    weights = weight_bytes(MAGISTRAL_SMALL, 16)
    plan = plan_training(MAGISTRAL_SMALL, weights, LORA, [PackLoad.one(256)], mac(32))
    assert "The weights alone are too much" in plan.advice


def test_one_layer_at_a_time_grows_with_the_length_and_not_with_its_square() -> None:
    sizes = [
        activation_bytes(MAGISTRAL_SMALL, LORA, PackLoad.one(tokens), True)
        for tokens in (4096, 8192, 16384)
    ]
    assert sizes[2] - sizes[1] == pytest.approx(2 * (sizes[1] - sizes[0]), rel=0.02)


def test_training_the_weights_themselves_takes_them_in_32_bits() -> None:
    plan = plan_training(
        MAGISTRAL_SMALL, WEIGHTS, replace(LORA, method=Method.FULL), [PackLoad.one(256)], mac(128)
    )
    assert plan.weight_bytes == 2 * WEIGHTS
    assert not plan.fits


def test_long_examples_attend_one_by_one() -> None:
    heads = replace(MAGISTRAL_SMALL, hidden_dim=64, n_heads=128, vocab_size=64)
    one, two, longer = (
        activation_bytes(heads, LORA, PackLoad(rows, blocks, 1), True)
        for rows, blocks in (
            (1024, ((1024, 1024),)),
            (2048, ((1024, 1024), (1024, 1024))),
            (2048, ((2048, 2048),)),
        )
    )
    inputs = 1024 * heads.dim * 2 * (heads.n_layers + 1)
    assert two - one == pytest.approx(inputs, rel=1e-6)
    assert longer - one > 2 * inputs


def test_more_chunks_of_the_head_in_a_graph_take_no_more() -> None:
    few, more = (
        activation_bytes(MAGISTRAL_SMALL, LORA, PackLoad(4096, ((4096, 4096),), targets), False)
        for targets in (1024, 4096)
    )
    assert few == more
