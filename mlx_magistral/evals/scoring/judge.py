"""From a reply's answer to a verdict, by the kind of its problem."""

from collections.abc import Sequence
from typing import Self

from mlx_magistral.errors import SandboxError
from mlx_magistral.evals.sandbox.sandbox import Sandbox, make_sandbox, unsafe_sandbox
from mlx_magistral.evals.scoring.boxed import last_boxed
from mlx_magistral.evals.scoring.expressions import ExpressionJudge, require_math_verify
from mlx_magistral.evals.scoring.letters import stated_letter
from mlx_magistral.evals.scoring.numbers import read_number, shown
from mlx_magistral.evals.scoring.programs import judge_program
from mlx_magistral.evals.scoring.verdict import Verdict, judged, unparsed
from mlx_magistral.evals.tasks.problem import Kind, Posed, Problem, Task, letter


class Judges:
    """Judges what the tasks need, and stops before anything is computed where it cannot.

    Use as a context manager. Raises MissingExtraError for expressions without math-verify, and
    SandboxError for programs where no sandbox holds; ``is_unsafe`` runs them without one there.
    """

    def __init__(self, tasks: Sequence[Task], *, is_unsafe: bool = False) -> None:
        kinds = {kind for task in tasks for kind in task.kinds}
        self.sandbox: Sandbox | None = None
        if Kind.MATH in kinds:
            require_math_verify()
        if Kind.CODE in kinds:
            self.sandbox = _sandbox(is_unsafe)
        self._expressions = ExpressionJudge()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._expressions.close()

    def judge(self, problem: Problem, posed: Posed, answer: str | None) -> Verdict:
        """The verdict on an answer; the thinking is never looked at. Safe from any thread."""
        if answer is None or not answer.strip():
            return unparsed("no answer")
        if problem.kind is Kind.CODE:
            assert self.sandbox is not None and problem.tests is not None
            return judge_program(answer, problem.tests(), self.sandbox)
        boxed = last_boxed(answer)
        if problem.kind is Kind.CHOICE:
            return _choice(posed, answer, boxed, len(problem.choices))
        if boxed is None:
            return unparsed("no whole \\boxed{}")
        match problem.kind:
            case Kind.NUMBER:
                return _number(posed.answer, boxed)
            case Kind.TEXT:
                return judged(_bare(boxed) == _bare(posed.answer), boxed, _bare(boxed))
            case Kind.MATH:
                return self._math(posed.answer, boxed)

    def _math(self, wanted: str, boxed: str) -> Verdict:
        if _bare(wanted) == _bare(boxed):
            return judged(True, boxed, _bare(wanted))
        numbers = read_number(wanted), read_number(boxed)
        if None not in numbers:
            return judged(numbers[0] == numbers[1], boxed, shown(numbers[1]))  # type: ignore[arg-type]
        same = self._expressions.same(wanted, boxed)
        if same is None:
            return unparsed("the box holds no expression that can be read", boxed)
        # Forms of the right answer are one vote; other forms are not told apart.
        return judged(same, boxed, _bare(wanted) if same else _bare(boxed))


def _sandbox(is_unsafe: bool) -> Sandbox:
    try:
        return make_sandbox()
    except SandboxError:
        if not is_unsafe:
            raise
        return unsafe_sandbox()


def _number(wanted: str, boxed: str) -> Verdict:
    found = read_number(boxed)
    if found is None:
        return unparsed("the box holds no number", boxed)
    return judged(found == read_number(wanted), boxed, shown(found))


def _choice(posed: Posed, answer: str, boxed: str | None, count: int) -> Verdict:
    found = stated_letter(answer, boxed, count)
    if found is None:
        return unparsed("no letter is stated")
    place = posed.order[ord(found) - ord("A")]
    # Orders differ by sample: a vote is for the choice as the data has it.
    return judged(found == posed.answer, found, letter(place))


def _bare(text: str) -> str:
    """Without blanks: "3,5" and "3, 5" are one answer."""
    return "".join(text.split())
