"""Programs of an answer: which block counts, and what passes a test."""

import pytest

from mlx_magistral.errors import SandboxError
from mlx_magistral.evals.sandbox.limits import Limits
from mlx_magistral.evals.sandbox.sandbox import Sandbox, make_sandbox
from mlx_magistral.evals.scoring.code_tests import CodeTest, CodeTests
from mlx_magistral.evals.scoring.judge import Judges
from mlx_magistral.evals.scoring.programs import (
    judge_program,
    last_program,
    same_output,
    same_result,
)
from mlx_magistral.evals.scoring.verdict import Outcome
from mlx_magistral.evals.tasks.problem import Kind, Problem, Task


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return make_sandbox(Limits(seconds=3.0))
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```py\nx = 1\n```\n\nor\n\n```python\nx = 2\n```", "x = 2\n"),
        ("```python\nx = 1\n```\nprints\n```text\n3\n```", "x = 1\n"),
        ("```cpp\nint x;\n```", None),
        ("````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''\n"),
        ("  ```python\n  x = 1\n  ```", "  x = 1\n"),
        ("~~~python\nx\n~~~", "x\n"),
        ("```python\nx = 1", None),
        ("x = 1", None),
        ("Use ```python inline``` here.", None),
    ],
)
def test_the_last_closed_python_block(answer: str, program: str | None) -> None:
    assert last_program(answer) == program


@pytest.mark.parametrize(
    ("printed", "wanted", "same"),
    [
        ("3\n", "3", True),
        ("  3  \n\n", "3\n", True),
        ("1 2\n3", "1 2 \n 3\n", True),
        ("1\n2", "1 2", False),
        ("1\n2", "1", False),
        ("1", "1\n2", False),
        ("0.50", "0.5", True),
        ("1e2 3", "100 3", True),
        ("50000000000000000", "50000000000000001", False),
        ("yes", "YES", False),
        ("nan", "nan", True),
        ("nan 1", "nan 1.0", False),
        ("0.3333333", "0.3333334", False),
        ("", "", True),
    ],
)
def test_outputs_are_compared_by_line_and_by_exact_number(
    printed: str, wanted: str, same: bool
) -> None:
    assert same_output(printed, wanted) is same


def test_results_are_compared_as_json() -> None:
    assert same_result("[1, 2]\n", "[1,2]") and same_result("1.0\n", "1")
    assert not same_result("[2, 1]", "[1, 2]") and not same_result("", "1")
    assert not same_result('"1"', "1")


def test_a_program_passes_all_tests_or_the_first_failing_is_named(sandbox: Sandbox) -> None:
    tests = CodeTests((CodeTest("1 2\n", "3\n"), CodeTest("4 5\n", "9\n")))

    def verdict(body: str) -> tuple[Outcome, str]:
        found = judge_program(f"```python\n{body}\n```", tests, sandbox)
        return found.outcome, found.note

    good = "print(sum(map(int, input().split())))"
    assert verdict(good) == (Outcome.RIGHT, "2 tests")
    assert verdict("print(3)") == (Outcome.WRONG, "test 2 of 2: it says '3'")
    outcome, note = verdict("print(1 // 0)")
    assert outcome is Outcome.WRONG and "test 1 of 2: it fails (ZeroDivisionError" in note
    assert verdict("print(")[0] is Outcome.WRONG
    assert judge_program("print(3)", tests, sandbox).outcome is Outcome.UNPARSED
    slow = Sandbox(sandbox.fence, Limits(seconds=0.8))
    found = judge_program("```python\nwhile True: pass\n```", tests, slow)
    assert found.note == "test 1 of 2: over the time limit"


def test_a_function_of_a_class_and_one_alone(sandbox: Sandbox) -> None:
    tests = CodeTests((CodeTest("[1, 2]\n3", "[4, 5]"),), "shift")
    method = """
class Solution:
    def shift(self, a: List[int], b: int):
        return tuple(x + b for x in a)
"""
    for body in (method, "def shift(a, b):\n    return [x + b for x in a]"):
        assert judge_program(f"```python\n{body}\n```", tests, sandbox).is_right
    assert not judge_program(
        "```python\ndef shift(a, b):\n    return {1}\n```", tests, sandbox
    ).is_right


def test_tests_of_a_task_are_run_through_its_judges(sandbox: Sandbox) -> None:
    tests = CodeTests((CodeTest("2\n", "4\n"),))
    problem = Problem("p", "Double.", "", Kind.CODE, tests=lambda: tests)
    with Judges([Task("t", [problem], {})]) as judges:
        answer = "```python\nprint(2 * int(input()))\n```"
        assert judges.judge(problem, problem.posed(0), answer).is_right
        assert judges.judge(problem, problem.posed(0), None).note == "no answer"
