"""One recommendation a machine, from 8 to 512 GB, and the limit that has to be raised for it."""

import mlx.core as mx
import pytest

from mlx_magistral.memory import machine as machines
from mlx_magistral.memory.chips import bandwidth
from mlx_magistral.memory.known import MAGISTRAL_SMALL
from mlx_magistral.memory.machine import (
    GIB,
    MIB,
    Backend,
    Machine,
    free_memory_bytes,
    simulated_mac,
    this_machine,
)
from mlx_magistral.memory.plan import make_plan, wired_limit_mb
from mlx_magistral.memory.recommend import Recommendation, choices, recommend, stored_choice
from mlx_magistral.memory.sysctl import system_number


def _for(gigabytes: int, chip: str | None = None) -> Recommendation:
    found = recommend(
        MAGISTRAL_SMALL, simulated_mac(gigabytes * GIB), choices(MAGISTRAL_SMALL), chip
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("gigabytes", "name", "kv_bits", "least_tokens"),
    [
        (16, "3.6 bits", 8, 16_384),
        (18, "3.6 bits", 8, 8_192),
        (24, "4.7 bits", 8, 16_384),
        (32, "5 bits", 8, 40_960),
        (36, "6 bits", 16, 40_960),
        (48, "8 bits", 16, 40_960),
        (64, "8 bits", 16, 131_072),
        (96, "8 bits", 16, 131_072),
        (128, "8 bits", 16, 131_072),
        (512, "8 bits", 16, 131_072),
    ],
)
def test_each_mac_gets_the_most_bits_that_leave_room_for_its_context(
    gigabytes: int, name: str, kv_bits: int, least_tokens: int
) -> None:
    found = _for(gigabytes)
    assert found.choice.name == name
    assert (found.plan.kv_bits, found.plan.fits) == (kv_bits, True)
    assert found.plan.context_tokens >= least_tokens
    # A step more would not fit, or is more than the model reads.
    longer = make_plan(
        MAGISTRAL_SMALL,
        found.choice.nbytes,
        found.plan.machine,
        found.plan.context_tokens + 256,
        kv_bits=kv_bits,
    )
    assert not longer.fits or longer.context_tokens > 131_072


def test_nothing_is_recommended_where_nothing_fits_whatever_is_set() -> None:
    assert recommend(MAGISTRAL_SMALL, simulated_mac(8 * GIB), choices(MAGISTRAL_SMALL)) is None


def test_16_gb_need_a_higher_limit_that_leaves_the_system_a_fifth() -> None:
    found = _for(16)
    assert found.wired_limit_mb is not None and found.wired_limit_mb % 256 == 0
    assert found.plan.machine.limit_bytes == found.wired_limit_mb * MIB
    assert found.system_bytes == 16 * GIB - found.wired_limit_mb * MIB > 0.2 * 16 * GIB
    assert not found.is_risky
    assert all(_for(each).wired_limit_mb is None for each in (18, 24, 32, 36, 48, 64, 128))


def test_a_limit_over_four_fifths_is_told_to_be_a_risk() -> None:
    mac = simulated_mac(16 * GIB)
    found = recommend(MAGISTRAL_SMALL, mac, [stored_choice(MAGISTRAL_SMALL, 11_900_000_000)])
    assert found is not None and found.wired_limit_mb is not None and found.is_risky


def test_the_limit_named_is_the_least_step_under_which_the_plan_fits() -> None:
    mac = simulated_mac(16 * GIB)
    plan = make_plan(MAGISTRAL_SMALL, 10_610_000_000, mac, 16_384, kv_bits=8)
    limit = wired_limit_mb(plan)
    assert not plan.fits and limit is not None
    for megabytes, fits in ((limit, True), (limit - 256, False)):
        raised = Machine("m", Backend.METAL, megabytes * MIB, 16 * GIB)
        assert make_plan(MAGISTRAL_SMALL, 10_610_000_000, raised, 16_384, kv_bits=8).fits is fits
    # No limit makes what is larger than the memory fit, and a CPU has none to raise.
    assert wired_limit_mb(make_plan(MAGISTRAL_SMALL, 16_000_000_000, mac, 4096)) is None
    cpu = Machine("cpu", Backend.CPU, 11 * GIB)
    assert wired_limit_mb(make_plan(MAGISTRAL_SMALL, 10_610_000_000, cpu, 16_384)) is None


def test_tokens_a_second_are_bandwidth_over_weights_where_the_chip_is_known() -> None:
    found = _for(48, "Apple M4 Pro")
    assert found.tokens_per_second == pytest.approx(273e9 / found.choice.nbytes)
    assert _for(48).tokens_per_second is None
    assert bandwidth("Apple M2") == 100e9
    assert bandwidth("Apple M1 ultra") == 800e9
    assert bandwidth("AMD EPYC") is bandwidth("Apple M77 Pro") is bandwidth("a Mac") is None


@pytest.mark.parametrize(("set_by_hand", "limit"), [(None, 21 * GIB), (0, 21 * GIB), (26000, 0)])
def test_a_limit_set_by_hand_is_the_machine_s(
    monkeypatch: pytest.MonkeyPatch, set_by_hand: int | None, limit: int
) -> None:
    info = {"device_name": "Apple M2", "memory_size": 32 * GIB}
    info["max_recommended_working_set_size"] = 21 * GIB
    monkeypatch.setattr(mx, "default_device", lambda: mx.gpu)
    monkeypatch.setattr(mx, "device_info", lambda: info)
    monkeypatch.setattr(machines, "system_number", lambda name: set_by_hand)
    assert this_machine().limit_bytes == (limit or 26000 * MIB)
    assert this_machine().memory_bytes == 32 * GIB


def test_a_mac_tells_in_percent_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"kern.memorystatus_level": 42, "hw.memsize": 32 * GIB}
    monkeypatch.setattr(machines, "system_number", told.get)
    assert free_memory_bytes() == 32 * GIB * 42 // 100


def test_a_number_this_system_does_not_have_is_none() -> None:
    assert system_number("no.such.number") is None
