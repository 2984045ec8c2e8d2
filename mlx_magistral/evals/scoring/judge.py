"""From a reply's answer to a verdict, by the kind of its problem."""

from mlx_magistral.errors import RunError
from mlx_magistral.evals.scoring.boxed import last_boxed
from mlx_magistral.evals.scoring.letters import stated_letter
from mlx_magistral.evals.scoring.numbers import read_number, shown
from mlx_magistral.evals.scoring.verdict import Verdict, judged, unparsed
from mlx_magistral.evals.tasks.problem import Kind, Posed, Problem, Task, letter

_NO_ANSWER = "no answer"
_NO_BOX = "no whole \\boxed{}"


def judge(problem: Problem, posed: Posed, answer: str | None) -> Verdict:
    """The verdict on an answer; the thinking is never looked at."""
    if answer is None or not answer.strip():
        return unparsed(_NO_ANSWER)
    match problem.kind:
        case Kind.CHOICE:
            return _choice(posed, answer, len(problem.choices))
        case Kind.NUMBER:
            return _number(posed, answer)
        case Kind.TEXT:
            return _text(posed, answer)
    raise AssertionError(f"{problem.kind} is judged elsewhere")


def require_judges(tasks: list[Task]) -> None:
    """Raise RunError before anything is computed where answers of a task cannot be judged."""
    for task in tasks:
        unknown = task.kinds - {Kind.CHOICE, Kind.NUMBER, Kind.TEXT}
        if unknown:
            raise RunError(
                f"{task.name} has answers of the kind {', '.join(sorted(unknown))}. Only numbers, "
                'texts ("kind": "text") and choices are judged.'
            )


def _number(posed: Posed, answer: str) -> Verdict:
    boxed = last_boxed(answer)
    if boxed is None:
        return unparsed(_NO_BOX)
    found = read_number(boxed)
    if found is None:
        return unparsed("the box holds no number", boxed)
    return judged(found == read_number(posed.answer), boxed, shown(found))


def _text(posed: Posed, answer: str) -> Verdict:
    boxed = last_boxed(answer)
    if boxed is None:
        return unparsed(_NO_BOX)
    # "3,5" and "3, 5" are one answer.
    found, wanted = ("".join(text.split()) for text in (boxed, posed.answer))
    return judged(found == wanted, boxed, found)


def _choice(posed: Posed, answer: str, count: int) -> Verdict:
    found = stated_letter(answer, last_boxed(answer), count)
    if found is None:
        return unparsed("no letter is stated")
    place = posed.order[ord(found) - ord("A")]
    # Orders differ by sample: a vote is for the choice as the data has it.
    return judged(found == posed.answer, found, letter(place))
