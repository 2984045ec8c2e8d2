"""What a run will cost is said before it begins, from what is known and what is measured."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from evals.report.test_figures import BLANK

from mlx_magistral import Magistral
from mlx_magistral.batching.pool import ReplyPool
from mlx_magistral.evals.run import speed
from mlx_magistral.evals.run.cost import Cost, expected_tokens, run_cost
from mlx_magistral.evals.run.order import Planned
from mlx_magistral.evals.run.protocol import Recipe
from mlx_magistral.evals.run.runner import Questioning
from mlx_magistral.evals.run.speed import measure_speed
from mlx_magistral.evals.tasks.problem import Kind, Problem, Task
from mlx_magistral.events import ContentDelta

PROBLEM = Problem("p", "hello", "1", Kind.NUMBER)
TASK = Task("t", [PROBLEM], {}, expected_tokens=8000)


def questioning(**fields: Any) -> Questioning:
    recipe = Recipe(**fields)
    return Questioning(recipe, {"t": recipe.drawing("other")})


def test_tokens_are_guessed_bounded_and_then_known() -> None:
    def expected(asked: Questioning, earlier: Any = ()) -> float:
        return expected_tokens({"t": TASK}, asked, earlier)["t"]

    assert expected(questioning()) == 8000
    assert expected(questioning(max_tokens=500)) == 500
    assert expected(questioning(think_budget=1000)) == 2000
    seen = [replace(BLANK, thinking_tokens=300, answer_tokens=20)] * 8
    assert expected(questioning(), seen) == 320
    assert expected(questioning(), seen[:7]) == 8000


def test_a_cost_is_said_in_replies_tokens_and_time() -> None:
    planned = [Planned("t", PROBLEM, n) for n in range(96)]
    cost = run_cost(planned, {"t": 9000.0}, 41.0)
    assert cost.line() == "96 replies of about 9,000 tokens at 41 tok/s: about 5:51:13"
    assert Cost(0, 0, 1.0).seconds == 0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_prompts_do_not_count_where_replies_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds of prompts, then 20 tokens a second each: it is 40 a second, not fewer."""
    clock = Clock()
    monkeypatch.setattr(speed, "time", clock)

    class Pool(ReplyPool):
        def __init__(self, *arguments: Any) -> None:
            pass

        def __exit__(self, *exception: object) -> None:
            pass

        def make(self, jobs: Any, on_tick: Any = None) -> Iterator[Any]:
            first, second = jobs
            clock.now = 5.0
            first.watch(ContentDelta("x"))
            clock.now = 10.0
            for _ in range(1000):
                clock.now += 0.05
                first.watch(ContentDelta("x"))
                second.watch(ContentDelta("x"))
                on_tick()
            yield from ()

    monkeypatch.setattr(speed, "ReplyPool", Pool)
    assert measure_speed(None, 2, [{}]) == pytest.approx(40, rel=0.05)  # type: ignore[arg-type]
    assert clock.now < 12


def test_short_replies_are_made_whole_and_timed_with_their_prompts(nano: Magistral) -> None:
    started = time.monotonic()
    found = measure_speed(nano, 2, [{"messages": "hello", "max_tokens": 6, "temperature": 0}])
    assert 12 / (time.monotonic() - started) / 3 < found < 5000
