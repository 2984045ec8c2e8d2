"""What a run says of itself while it goes on."""

import pytest

from mlx_magistral.evals.tally import Tally
from mlx_magistral.terminal.times import duration


def test_rates_and_the_rest_are_of_this_run_alone() -> None:
    now = [100.0]
    tally = Tally(96, earlier=40, clock=lambda: now[0])
    assert tally.line() == "40 of 96 replies"
    now[0] = 110.0
    tally.done, tally.tokens = 60, 5000
    assert tally.line() == "60 of 96 replies, 2.0 a second, 500 tok/s, about 0:18 left"
    tally.done = 41
    assert "6.0 a minute" in tally.line()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (61, "1:01"), (3600, "1:00:00"), (90061, "1 day 1:01:01"), (3599.7, "1:00:00")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
