"""Predicted peaks against what MLX counts; scripts/bench/memory.py has the larger table."""

import pytest

from mlx_magistral.memory.machine import Backend, this_machine
from mlx_magistral.selftest.peak import BASE, MOST_ERROR, measure_peak
from scripts.bench import memory as bench_memory

pytestmark = pytest.mark.skipif(
    this_machine().backend is not Backend.CPU, reason="fitted on the CPU backend"
)


@pytest.mark.parametrize("bits", [16, 8])
@pytest.mark.parametrize(("tokens", "chunk"), [(300, 64), (200, 128)])
def test_prediction_is_within_5_percent(tokens: int, chunk: int, bits: int) -> None:
    case = measure_peak("base", BASE, tokens, chunk, bits)
    assert case.ratio == pytest.approx(1, abs=MOST_ERROR)


def test_8_bits_lower_the_peak_of_a_long_context() -> None:
    plain, quantized = (measure_peak("long", bench_memory.LONG, 400, 32, bits) for bits in (16, 8))
    assert quantized.measured < plain.measured
