"""The plan of a head's training: what it counts, what it lowers, and what does not fit."""

from dataclasses import replace

import pytest
from model.builders import SMALL

from mlx_magistral.errors import MemoryPlanError
from mlx_magistral.memory.known import MAGISTRAL_SMALL
from mlx_magistral.memory.machine import Backend, Machine, simulated_mac
from mlx_magistral.memory.sizes import weight_bytes
from mlx_magistral.train.drafter.fresh import fresh_head, head_config
from mlx_magistral.train.drafter.loss import trainable
from mlx_magistral.train.drafter.options import DrafterOptions
from mlx_magistral.train.drafter.plan import DrafterPlan, head_count, plan_drafter


def planned(machine: Machine, **options: int) -> DrafterPlan:
    chosen = DrafterOptions(**options)  # type: ignore[arg-type]
    head = head_config(MAGISTRAL_SMALL, chosen.draft_vocab)
    return plan_drafter(
        MAGISTRAL_SMALL, weight_bytes(MAGISTRAL_SMALL, 4), int(2e9), head, chosen, machine
    )


def test_magistral_at_4_bits_and_its_trainer_fit_32_gb() -> None:
    plan = planned(simulated_mac(32 * 2**30))
    assert plan.fits and plan.optimizer_bits == 8 and plan.pack_tokens >= 256
    large = planned(simulated_mac(64 * 2**30))
    assert (large.optimizer_bits, large.pack_tokens) == (32, 1024)


def test_what_does_not_fit_says_by_how_much() -> None:
    with pytest.raises(MemoryPlanError, match=r"a Mac with .* GB\. Memory: the model 13\.26"):
        planned(simulated_mac(16 * 2**30)).require_fit()


def test_replies_and_training_are_not_there_at_once() -> None:
    plan = planned(Machine("large", Backend.METAL, 10**12, 10**12))
    wide = replace(plan, reply_bytes=plan.trained_bytes + plan.pack_bytes)
    assert wide.peak_bytes == plan.peak_bytes


def test_it_counts_what_is_trained() -> None:
    import mlx.core as mx
    from model.builders import random_weights

    from mlx_magistral.model.transformer import Transformer

    config = replace(SMALL, n_layers=4)
    model = Transformer(config)
    model.load_weights(list(random_weights(config).items()))
    shape = head_config(config, 64)
    head = fresh_head(shape, model, mx.arange(64), mx.ones((2, 3 * config.dim)), 0)
    assert sum(each.size for each in trainable(head).values()) == head_count(shape)
