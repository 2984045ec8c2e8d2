"""Copied text is drafted up to 48 ids a pass where rows are cheap, and nothing else loses time."""

import random
from collections.abc import Callable

import pytest
from decode.speculation.replay import Clocked, replay

from mlx_magistral.decode.speculation.pass_costs import LONG_ROWS, ROWS

STEP_S = 0.04


def _ids(seed: int, first: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(first, first + 9000) for _ in range(900)]


TEXT = _ids(3, 1000)


def flat(rows: int) -> float:
    """A pass of 48 rows takes twice as long as one."""
    return STEP_S * (1 + (rows - 1) / 47)


def steep(rows: int) -> float:
    """Rows are cheap up to eight, and cost a fifth of a pass each from there on."""
    return STEP_S * (1 + 0.09 * min(rows - 1, 7) + 0.2 * max(0, rows - 8))


def test_a_quotation_takes_passes_of_48_ids_once_their_cost_is_known() -> None:
    costs = Clocked(flat, ROWS)
    told = replay(TEXT, TEXT, costs)
    assert costs.measured == list(LONG_ROWS)
    assert max(told.rows) == 48
    assert len(TEXT) * STEP_S / told.times[-1] > 7


def test_where_more_rows_do_not_pay_one_number_is_measured_and_no_more() -> None:
    costs = Clocked(steep, ROWS)
    told = replay(TEXT, TEXT, costs)
    assert costs.measured == [LONG_ROWS[0]]
    assert max(told.rows) <= 12


def test_a_quantized_cache_keeps_to_the_rows_that_it_reads_as_they_are() -> None:
    costs = Clocked(flat, ROWS)
    assert max(replay(TEXT, TEXT, costs, longest=7).rows) == 8
    assert not costs.measured


def test_text_that_is_no_copy_has_nothing_measured() -> None:
    costs = Clocked(flat, ROWS)
    assert set(replay(TEXT, _ids(4, 20000), costs).rows) == {1} and not costs.measured


def _deceiving(length: int, seed: int) -> list[int]:
    """Runs of the prompt, each of which turns another way after ``length`` ids."""
    rng, reply = random.Random(seed), []
    while len(reply) < 2000:
        start = rng.randrange(len(TEXT) - length)
        reply += [*TEXT[start : start + length], rng.randrange(9000, 99000)]
    return reply


@pytest.mark.parametrize("curve", [flat, steep, lambda rows: STEP_S * (1 + 0.5 * (rows - 1))])
@pytest.mark.parametrize("length", [3, 4, 5, 8, 12, 17, 20, 40])
def test_over_any_ten_seconds_it_is_never_more_than_2_percent_slower(
    curve: Callable[[int], float], length: int
) -> None:
    reply = _deceiving(length, length)
    times = replay(TEXT, reply, Clocked(curve, ROWS)).times
    window = round(10 / STEP_S)
    slowest = max(times[end] - times[end - window] for end in range(window, len(times), 7))
    assert slowest <= 10 * 1.02
