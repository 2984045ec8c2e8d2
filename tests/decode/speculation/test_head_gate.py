"""A head's guesses cost time: on a simulated clock it never loses more than a fiftieth of it."""

import random
from collections.abc import Callable, Sequence

import mlx.core as mx
import pytest
from decode.speculation.replay import Clocked, Told, replay

from mlx_magistral.decode.driver import Driver
from mlx_magistral.decode.speculation.drafter import Drafter
from mlx_magistral.decode.speculation.pass_costs import ROWS

STEP_S = 0.04
PROMPT = list(range(2000, 2040))


class _Head(Drafter):
    """Guesses what the reply says, where ``is_right`` has it so for a place of the reply and how
    many guesses came before it in the draft."""

    def __init__(
        self,
        reply: Sequence[int],
        is_right: Callable[[int, int], bool],
        guess_s: float,
        costs: Clocked,
    ) -> None:
        self.guess_s = guess_s
        self._reply, self._is_right, self._costs = reply, is_right, costs

    def for_reply(self) -> "_Head":
        return self

    def propose(self, tokens: Sequence[int], count: int, driver: Driver) -> mx.array:
        self._costs.spent += count * self.guess_s
        at = len(tokens) - len(PROMPT)
        return mx.array(
            [self._reply[at + n] if self._is_right(at + n, n) else 99_999 for n in range(count)],
            dtype=mx.uint32,
        )


def _reply(count: int) -> list[int]:
    """Ids of which no three follow each other twice."""
    return random.Random(1).sample(range(3000, 90_000), count)


def cheap(rows: int) -> float:
    return STEP_S * (1 + 0.05 * (rows - 1))


def usual(rows: int) -> float:
    return STEP_S * (1 + 0.15 * (rows - 1))


def dear(rows: int) -> float:
    return STEP_S * (1 + 0.7 * (rows - 1))


def _chance(place: int) -> float:
    return random.Random(place).random()


HABITS: dict[str, Callable[[int, int], bool]] = {
    "never right": lambda place, nth: False,
    "right half of the time": lambda place, nth: _chance(place) < 0.5,
    "right for the first guess only": lambda place, nth: nth == 0 and _chance(place) < 0.6,
    "right for 40, wrong for 40": lambda place, nth: place % 80 < 40,
    "right for 300, wrong for 300": lambda place, nth: place % 600 < 300,
    "right for 10, wrong for 60": lambda place, nth: place % 70 < 10,
}


def _told(
    reply: Sequence[int],
    curve: Callable[[int], float],
    is_right: Callable[[int, int], bool],
    share: float = 0.07,
) -> Told:
    """A guess of the head takes a ``share`` of a pass of one row."""
    costs = Clocked(curve, ROWS)
    head = _Head(reply, is_right, share * curve(1), costs)
    return replay(PROMPT, reply, costs, draft_model=head)


@pytest.mark.parametrize(
    ("curve", "share"), [(cheap, 0.07), (usual, 0.07), (usual, 0.3), (dear, 0.07)]
)
@pytest.mark.parametrize("habit", HABITS)
def test_over_any_ten_seconds_it_is_never_more_than_2_percent_slower(
    curve: Callable[[int], float], habit: str, share: float
) -> None:
    times = _told(_reply(1300), curve, HABITS[habit], share).times
    window = round(10 / STEP_S)
    slowest = max(times[end] - times[end - window] for end in range(window, len(times), 7))
    assert slowest <= 10 * 1.02


@pytest.mark.parametrize("habit", HABITS)
def test_where_a_pass_takes_half_a_second_it_is_so_over_a_hundred_of_them(habit: str) -> None:
    times = _told(_reply(800), lambda rows: 12 * usual(rows), HABITS[habit]).times
    slowest = max(times[end] - times[end - 100] for end in range(100, len(times), 7))
    assert slowest <= 100 * 12 * STEP_S * 1.02


@pytest.mark.parametrize("step_s", [0.002, 0.04, 0.5])
def test_a_head_that_is_right_makes_a_reply_as_fast_as_its_guesses_allow(step_s: float) -> None:
    reply = _reply(600)
    told = _told(
        reply, lambda rows: step_s * (0.85 + 0.15 * rows), lambda place, nth: _chance(place) < 0.8
    )
    assert len(reply) * step_s / told.times[-1] > 1.35


def test_a_head_that_was_wrong_for_long_is_used_once_it_is_right() -> None:
    reply = _reply(1600)
    told = _told(reply, usual, lambda place, nth: place > 500)
    end = told.times[-1] - told.times[1000]
    assert (len(reply) - 1000) * STEP_S / end > 2
