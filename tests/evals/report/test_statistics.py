"""Error bars against closed forms, and against drawing again and again."""

import math
import random

import pytest

from mlx_magistral.evals.report.statistics import (
    mean_interval,
    problems_needed,
    rerun_half_width,
    sign_flip_p,
)


def test_the_interval_of_coins_is_the_binomial_one() -> None:
    values = [1.0] * 60 + [0.0] * 40
    low, high = mean_interval(values)
    wide = 1.96 * math.sqrt(0.6 * 0.4 / 100)
    assert low == pytest.approx(0.6 - wide, abs=0.015)
    assert high == pytest.approx(0.6 + wide, abs=0.015)


def test_no_spread_is_no_certainty() -> None:
    """Of 30 right out of 30 the exact (Clopper-Pearson) bound is 88.4 %."""
    assert mean_interval([1.0] * 30) == pytest.approx((0.8843, 1.0), abs=1e-4)
    assert mean_interval([0.0] * 30) == pytest.approx((0.0, 0.1157), abs=1e-4)
    assert mean_interval([1.0]) == pytest.approx((0.025, 1.0))


def test_the_same_data_gives_the_same_bar() -> None:
    values = [random.Random(1).random() for _ in range(50)]
    assert mean_interval(values) == mean_interval(values)


@pytest.mark.parametrize("n", [4, 16])
def test_the_rerun_bar_holds_19_of_20_reruns(n: int) -> None:
    draw = random.Random(3)
    chances = [draw.random() for _ in range(30)]
    truth = sum(chances) / 30
    held = 0
    for _ in range(400):
        outcomes = [[draw.random() < p for _ in range(n)] for p in chances]
        half = rerun_half_width(outcomes)
        mean = sum(sum(each) / n for each in outcomes) / 30
        assert half is not None
        held += abs(mean - truth) <= half
    assert 0.91 <= held / 400 <= 0.98


def test_one_sample_says_nothing_about_reruns() -> None:
    assert rerun_half_width([[True], [False, True]]) is None


@pytest.mark.parametrize(("better", "worse"), [(6, 1), (10, 3), (40, 22), (5, 5)])
def test_p_of_single_samples_is_that_of_mcnemar_s_exact_test(better: int, worse: int) -> None:
    total = better + worse
    tail = sum(math.comb(total, k) for k in range(min(better, worse) + 1)) / 2**total
    exact = min(1.0, 2 * tail)
    differences = [1.0] * better + [-1.0] * worse + [0.0] * 50
    assert sign_flip_p(differences) == pytest.approx(exact, abs=0.012)


def test_p_without_any_difference_is_one() -> None:
    assert sign_flip_p([0.0, 0.0]) == 1.0 == sign_flip_p([])


def test_as_many_problems_as_are_needed_see_the_difference_four_times_of_five() -> None:
    draw = random.Random(7)

    def differences(count: int, shift: float) -> list[float]:
        return [draw.gauss(shift, 0.3) for _ in range(count)]

    needed = problems_needed(differences(4000, 0.0), 0.05)
    assert needed is not None and 250 < needed < 320
    seen = sum(mean_interval(differences(needed, 0.05)).low > 0 for _ in range(40))
    assert 25 <= seen <= 38
    assert problems_needed([0.0, 0.0], 0.02) is None
