"""From samples to the figures of a report, and two runs against each other."""

from dataclasses import replace
from typing import Any

import pytest

from mlx_magistral.errors import RunError
from mlx_magistral.evals.report.comparison import compare_runs
from mlx_magistral.evals.report.figures import task_figures
from mlx_magistral.evals.run.sample import Sample
from mlx_magistral.evals.scoring.verdict import Outcome

BLANK = Sample(
    task="t",
    problem="p",
    sample=0,
    seed=1,
    prompt_sha256="x",
    prompt_tokens=10,
    thinking_tokens=100,
    answer_tokens=10,
    thinking="",
    answer="",
    finish_reason="stop",
    limit=None,
    expected="1",
    parsed="1",
    vote="1",
    verdict=Outcome.RIGHT,
    note="",
    seconds=1.0,
)


def run(outcomes: dict[str, str], **fields: Any) -> list[Sample]:
    """A sample a letter: right, wrong with its own vote, x wrong with a shared one, unparsed."""
    samples = []
    for problem, letters in outcomes.items():
        for number, kind in enumerate(letters):
            verdict = {"r": Outcome.RIGHT, "u": Outcome.UNPARSED}.get(kind, Outcome.WRONG)
            vote = {"r": "1", "x": "9", "u": None}.get(kind, f"wrong {number}")
            samples.append(
                replace(
                    BLANK,
                    problem=problem,
                    sample=number,
                    verdict=verdict,
                    vote=vote,
                    prompt_sha256=problem,
                    **fields,
                )
            )
    return samples


def test_problems_weigh_alike_whatever_the_number_of_their_samples() -> None:
    (figures,) = task_figures(run({"a": "rrrr", "b": "ww"}))
    assert figures.pass_at_1 == 0.5 and figures.problems == 2 and figures.samples == 6
    assert figures.samples_each == 4 and figures.majority_problems == 1


@pytest.mark.parametrize(
    ("letters", "right"),
    [("rrww", 1.0), ("rxx", 0.0), ("rrxx", 0.5), ("uuur", 1.0), ("uuu", 0.0), ("xxu", 0.0)],
)
def test_the_majority_of_votes_decides_and_a_tie_is_a_coin(letters: str, right: float) -> None:
    # A second problem, so that votes can be counted at all.
    (figures,) = task_figures(run({"a": letters, "b": "r" * len(letters)}))
    assert figures.majority == pytest.approx((right + 1) / 2)


def test_shares_lengths_and_what_could_not_be_read() -> None:
    samples = run({"a": "ru"}, limit="max_tokens") + run({"b": "rr"}, limit="loop")
    (figures,) = task_figures([*samples, *run({"c": "r" * 6}, thinking_tokens=900, group="hard")])
    assert figures.cut_by_length == 0.2 and figures.cut_by_loop == 0.2
    assert figures.thinking_tokens.median == 900 and figures.thinking_tokens.p95 == 900
    assert figures.unparsed == (("a", 1, ""),)
    assert figures.groups == {"hard": (6, 1.0)}


def test_tasks_have_a_row_each() -> None:
    samples = run({"a": "r"}, task="aime24") + run({"a": "w"}, task="own")
    first, second = task_figures(samples)
    assert (first.task, first.card, first.pass_at_1) == ("aime24", 70.52, 1.0)
    assert (second.task, second.card, second.pass_at_1) == ("own", None, 0.0)
    assert first.majority is None


def test_runs_are_compared_on_the_problems_that_both_have() -> None:
    a = run({f"p{n}": "rr" for n in range(20)} | {"only a": "r"})
    b = run({f"p{n}": "rr" if n else "rw" for n in range(20)} | {"only b": "w"})
    (found,) = compare_runs(a, b)
    assert (found.problems, found.left_out) == (20, 2)
    assert found.difference == pytest.approx(-0.025)
    assert [(each.problem, each.a, each.b) for each in found.partings] == [("p0", 1.0, 0.5)]
    assert found.p == 1.0 and found.interval.low < 0 <= found.interval.high


def test_a_clear_loss_is_seen_as_one() -> None:
    a = run({f"p{n}": "r" for n in range(60)})
    b = run({f"p{n}": "r" if n % 3 else "w" for n in range(60)})
    (found,) = compare_runs(a, b)
    assert found.interval.high < 0 and found.p < 0.001
    assert found.needed is not None and found.needed > 1000


def test_equal_runs_may_still_differ_a_little_elsewhere() -> None:
    a = run({f"p{n}": "r" for n in range(30)})
    (found,) = compare_runs(a, a)
    assert found.difference == 0 and found.interval == pytest.approx((-0.1157, 0.1157), abs=1e-4)


def test_a_name_alone_is_not_the_same_problem() -> None:
    a = run({"1": "r"})
    b = [replace(sample, prompt_sha256="another text") for sample in a]
    with pytest.raises(RunError, match="no problem in common"):
        compare_runs(a, b)
