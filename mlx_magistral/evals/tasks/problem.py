"""Problem and Task: what is asked, what is right, and how it is put to the model."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from mlx_magistral.evals.scoring.code_tests import CodeTests

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

BOXED_HINT = "Put the final answer within \\boxed{}."
CHOICE_HINT = (
    "Choose one. End with a line of the form 'Answer: X', where X is the letter of your choice."
)
STDIN_HINT = (
    "Write a Python program that solves this. It reads the input from standard input and prints "
    "the output, nothing else. Only Python's standard library is there. Put the whole program in "
    "one ```python block at the end."
)
STARTER_HINT = (
    "Complete this Python code so that it solves the problem, and put all of it, the given lines "
    "included, in one ```python block at the end. Only Python's standard library is there."
    "\n\n```python\n{starter}\n```"
)


class Kind(StrEnum):
    """How an answer is judged."""

    NUMBER = "number"  # the last box holds this number
    MATH = "math"  # the last box holds an equal expression
    TEXT = "text"  # the last box holds this text, blanks aside
    CHOICE = "choice"  # the stated letter
    CODE = "code"  # the last fenced block passes the tests


class Posed(NamedTuple):
    """A problem as one sample asks it; ``order`` has the place of each shown choice in the data."""

    text: str
    answer: str
    order: tuple[int, ...] = ()


@dataclass(frozen=True)
class Problem:
    """One problem. ``answer`` is the number, expression, text or, of choices, the letter.

    ``shuffles`` says that each sample shows the choices in an order of its own; ``tests`` reads the
    tests of code when they are needed; ``group`` is what a report may sum by.
    """

    id: str
    question: str
    answer: str
    kind: Kind
    hint: str = ""
    choices: tuple[str, ...] = ()
    shuffles: bool = False
    tests: Callable[[], CodeTests] | None = field(default=None, compare=False)
    group: str = ""

    def posed(self, sample: int, template: str | None = None) -> Posed:
        """The text for a sample, and what is right there.

        ``template`` takes the place of the task's own words around ``{problem}``.
        """
        order = tuple(range(len(self.choices)))
        answer = self.answer
        if self.shuffles:
            # Random's own seeding of text: the same on every machine.
            order = tuple(random.Random(f"{self.id} {sample}").sample(order, len(order)))
            answer = _LETTERS[order.index(_LETTERS.index(answer))]
        lines = [f"{_LETTERS[i]}) {self.choices[place]}" for i, place in enumerate(order)]
        body = "\n".join([self.question, "", *lines]) if lines else self.question
        if template is not None:
            text = template.replace("{problem}", body)
        else:
            text = f"{body}\n\n{self.hint}" if self.hint else body
        return Posed(text, answer, order)


@dataclass(frozen=True)
class Task:
    """Problems under a name; ``source`` says exactly which data they are, for the record.

    ``protocol`` names the row of the protocols that it follows, ``expected_tokens`` what a reply
    may come to before any has been seen.
    """

    name: str
    problems: Sequence[Problem]
    source: Mapping[str, Any]
    protocol: str = "other"
    expected_tokens: int = 8192

    @property
    def kinds(self) -> set[Kind]:
        """How its answers are judged."""
        return {problem.kind for problem in self.problems}


def letter(place: int) -> str:
    """A for 0."""
    return _LETTERS[place]


def most_choices() -> int:
    """Choices that a problem may have."""
    return len(_LETTERS)
