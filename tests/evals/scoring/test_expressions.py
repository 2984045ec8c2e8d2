"""Expressions through math-verify, without the habits that would make figures wrong."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlx_magistral.errors import MissingExtraError
from mlx_magistral.evals.scoring.expressions import ExpressionJudge
from mlx_magistral.evals.scoring.judge import Judges
from mlx_magistral.evals.scoring.verdict import Outcome
from mlx_magistral.evals.tasks.problem import Kind, Problem, Task


@pytest.fixture(scope="module")
def judges() -> Iterator[Judges]:
    with Judges([]) as made:
        yield made


def outcome(judges: Judges, wanted: str, answer: str) -> Outcome:
    problem = Problem("p", "?", wanted, Kind.MATH)
    return judges.judge(problem, problem.posed(0), answer).outcome


@pytest.mark.parametrize(
    ("wanted", "boxed"),
    [
        (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
        ("x^2+1", "1 + x^2"),
        (r"2\sqrt{2}", r"\sqrt{8}"),
        ("(1,2)", "(1, 2)"),
        (r"\{1,2\}", r"\{2, 1\}"),
        (r"\frac{\pi}{4}", r"\pi/4"),
        ("2^{10}", "1024"),
        (r"10\%", r"0.1"),
    ],
)
def test_equal_forms_are_right(judges: Judges, wanted: str, boxed: str) -> None:
    assert outcome(judges, wanted, f"So \\boxed{{{boxed}}}.") is Outcome.RIGHT


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        ("(1,2)", r"\boxed{(1,3)}"),
        (r"\pi", r"\boxed{3.14159}"),
        ("1234", r"\boxed{235}"),
        (r"\sqrt{2}", r"\boxed{2}"),
    ],
)
def test_others_are_wrong(judges: Judges, wanted: str, answer: str) -> None:
    assert outcome(judges, wanted, answer) is Outcome.WRONG


def test_a_number_in_the_prose_is_no_answer(judges: Judges) -> None:
    assert outcome(judges, r"\sqrt{2}", r"It is $\sqrt{2}$.") is Outcome.UNPARSED


def test_thousands_and_shares_are_read_by_our_own_reader(judges: Judges) -> None:
    assert outcome(judges, "1234", r"\boxed{1\,234}") is Outcome.RIGHT
    assert outcome(judges, "204", r"\boxed{204\%}") is Outcome.WRONG


def test_huge_powers_end_and_the_next_is_judged() -> None:
    with ExpressionJudge(seconds=0.0) as judge:
        assert judge.same("x", "9^{9^{9^{9^9}}}") is None
        assert judge._worker is None
    with ExpressionJudge() as judge:
        assert not judge.same("x", "9^{9^{9^{9^9}}}")  # out of time or of memory, or told apart
        assert judge.same("x+1", "1+x") is True
        worker = judge._worker
        assert worker is not None
        worker.kill()
        assert judge.same("x+1", "1+x") is None
        assert judge.same("x+1", "1+x") is True


def test_no_box_is_evaluated_as_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = "__import__('os').system('touch attacked')"
    hostile = [call, f"\\text{{{call}}}", f"\\{{{call}\\}}", "exec(chr(112)+'rint(1)')"]
    with ExpressionJudge() as judge:
        assert [judge.same("x+1", text) for text in hostile].count(True) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="a Mac bounds no memory")
def test_a_power_larger_than_memory_is_not_read() -> None:
    with ExpressionJudge() as judge:
        assert judge.same("x", "10^{10^{10}}") is not True
        assert judge.same("x+1", "1+x") in (True, None)


def test_without_math_verify_the_extra_is_named_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlx_magistral.evals.scoring.expressions.find_spec", lambda name: None)
    task = Task("t", [Problem("p", "?", "x+1", Kind.MATH)], {})
    with pytest.raises(MissingExtraError, match=r"mlx-magistral\[eval\]"):
        Judges([task])
    Judges([Task("t", [Problem("p", "?", "5", Kind.NUMBER)], {})])
