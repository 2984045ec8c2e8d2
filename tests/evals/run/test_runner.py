"""From replies to lines of a run: judged beside each other, kept at once, failures told apart."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlx_magistral.batching.pool import Job, Made
from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.errors import ContextLengthError, GenerationError
from mlx_magistral.evals.run.folder import RunFolder
from mlx_magistral.evals.run.order import Planned
from mlx_magistral.evals.run.protocol import Recipe
from mlx_magistral.evals.run.runner import Questioning, Runner
from mlx_magistral.evals.run.sample import Sample
from mlx_magistral.evals.scoring.judge import Judges
from mlx_magistral.evals.scoring.verdict import Verdict
from mlx_magistral.evals.tally import Tally
from mlx_magistral.evals.tasks.problem import Kind, Problem
from mlx_magistral.events import (
    ContentDelta,
    Event,
    Finished,
    FinishReason,
    Limit,
    ReasoningDelta,
    Timings,
    Usage,
)

RECIPE = Recipe(think_budget=50, system="Be brief.")
ASKED = Questioning(RECIPE, {"t": RECIPE.drawing("aime")})


def said(answer: str, limit: Limit | None = None) -> ReplyCollector:
    collector = ReplyCollector("model")
    ends: list[Event] = [ReasoningDelta("so"), ContentDelta(answer)]
    for event in ends:
        collector.feed(event)
    usage = Usage(prompt_tokens=20, completion_tokens=10, reasoning_tokens=7)
    collector.feed(Finished(FinishReason.STOP, usage, Timings(0, 0, 0, 0, 0), limit))
    return collector


class Pool:
    """Answers as it is told, by the number of the sample."""

    tokens = 10

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.asked: list[Job] = []

    def make(self, jobs: Any, on_tick: Any) -> Iterator[Made]:
        for job in jobs:
            self.asked.append(job)
            found = self.answers[job.key.number]
            if isinstance(found, Exception):
                yield Made(job.key, ReplyCollector("model"), found)  # type: ignore[arg-type]
            else:
                yield Made(job.key, found, None, 1.5)


def planned(count: int) -> list[Planned]:
    problem = Problem("p", "What is 1 + 1?", "2", Kind.NUMBER, hint="Box it.", group="g")
    return [Planned("t", problem, number) for number in range(count)]


def run(folder: Path, pool: Any, count: int, judge: Any = None, **options: Any) -> tuple[Any, ...]:
    tally = Tally(count)
    with RunFolder(folder, {"a": 1}, {}) as opened:
        runner = Runner(opened, ASKED, judge or Judges([]).judge)
        runner.run(pool, planned(count), tally, lambda: None, **options)
        return list(opened.samples()), tally, runner.failures


def test_a_sample_tells_all_of_its_reply(tmp_path: Path) -> None:
    pool = Pool(said("\\boxed{2}", Limit.THINK_BUDGET), said("\\boxed{3}"))
    samples, tally, failures = run(tmp_path, pool, 2)
    right, wrong = samples
    assert right.is_right and not wrong.is_right and not failures
    assert (right.thinking, right.answer, right.expected, right.parsed, right.vote) == (
        *("so", "\\boxed{2}", "2", "2", "2"),
    )
    assert (right.prompt_tokens, right.thinking_tokens, right.answer_tokens) == (20, 7, 3)
    assert (right.limit, wrong.limit, right.seconds, right.group) == (
        "think_budget",
        None,
        1.5,
        "g",
    )
    assert right.seed != wrong.seed and right.prompt_sha256 == wrong.prompt_sha256
    assert (tally.done, tally.tokens) == (2, 10)
    options = pool.asked[0].options
    assert options["messages"][0] == {"role": "system", "content": "Be brief."}
    assert options["messages"][1]["content"] == "What is 1 + 1?\n\nBox it."
    assert (options["temperature"], options["top_p"], options["max_tokens"]) == (0.7, 1.0, 40_960)
    assert options["think_budget"] == 50 and options["seed"] == right.seed


def test_what_failed_inside_is_left_for_another_try(tmp_path: Path) -> None:
    pool = Pool(GenerationError("broken"), said("\\boxed{2}"), ContextLengthError(9, 5))
    samples, tally, failures = run(tmp_path, pool, 3)
    assert [str(error) for error in failures] == ["broken"]
    assert [(each.sample, each.verdict.value) for each in samples] == [
        (1, "right"),
        (2, "unparsed"),
    ]
    assert samples[1].note == "the prompt is longer than the context"
    assert samples[1].finish_reason == "error" and tally.done == 2


def test_verdicts_are_found_beside_each_other_and_kept_in_order(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def judge(problem: Problem, posed: Any, answer: str | None) -> Verdict:
        both.wait(30)  # Breaks where one waits for the other's end.
        return Judges([]).judge(problem, posed, answer)

    samples, tally, _ = run(tmp_path, Pool(*[said("\\boxed{2}")] * 4), 4, judge)
    assert [each.sample for each in samples] == [0, 1, 2, 3] and tally.done == 4


def test_a_deadline_begins_nothing_more(tmp_path: Path) -> None:
    pool = Pool(said("\\boxed{2}"))
    samples, _, _ = run(tmp_path, pool, 1, deadline=time.monotonic() - 1)
    assert samples == [] and pool.asked == []


def test_replies_that_are_whole_are_kept_when_somebody_interrupts(tmp_path: Path) -> None:
    class Interrupted(Pool):
        def make(self, jobs: Any, on_tick: Any) -> Iterator[Made]:
            yield from super().make(iter(list(jobs)[:2]), on_tick)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Interrupted(said("\\boxed{2}"), said("\\boxed{2}"), None), 3)
    with RunFolder(tmp_path, {"a": 1}, {}) as folder:
        kept: list[Sample] = list(folder.samples())
    assert [each.sample for each in kept] == [0, 1]
