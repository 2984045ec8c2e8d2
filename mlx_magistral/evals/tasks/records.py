"""Problems from JSON lines of one's own: what a line may say, and what is wrong with it, by line.

    {"problem": "What is 37 + 48?", "answer": "85"}
    {"problem": "Which is a prime?", "choices": ["9", "11", "15"], "answer": "B"}
    {"problem": "Print the sum of two numbers.", "tests": [{"input": "1 2", "output": "3"}]}

Also ``id``, ``group`` (a report sums by it), ``kind`` (number, math or text, where the answer does
not say it) and, for code, ``function``, the name to call instead of standard input.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlx_magistral.errors import RunError
from mlx_magistral.evals.scoring.code_tests import CodeTest, CodeTests
from mlx_magistral.evals.scoring.numbers import read_number
from mlx_magistral.evals.tasks.problem import (
    BOXED_HINT,
    CHOICE_HINT,
    STDIN_HINT,
    Kind,
    Problem,
    letter,
    most_choices,
)

_KEYS = ("id", "problem", "answer", "choices", "tests", "function", "group", "kind")


def problems_from(path: Path, records: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """The problems; raises RunError naming file, problem and key where one is not right."""
    problems: list[Problem] = []
    known: set[str] = set()
    for number, record in enumerate(records, 1):
        try:
            problem = _problem(record, str(number))
        except ValueError as error:
            raise RunError(f"{path}, problem {number}: {error}") from error
        if problem.id in known:
            raise RunError(
                f"{path}, problem {number}: another problem has the id {problem.id!r} too."
            )
        known.add(problem.id)
        problems.append(problem)
    if not problems:
        raise RunError(f"{path} holds no problem. Write one JSON object a line.")
    return problems


def _problem(record: Mapping[str, Any], number: str) -> Problem:
    for key in record:
        if key not in _KEYS:
            raise ValueError(f"there is no column {key!r}; known are {', '.join(_KEYS)}.")
    question = _text(record, "problem")
    id, group = str(record.get("id", number)), str(record.get("group", ""))
    if "tests" in record:
        tests = _tests(record)
        hint = STDIN_HINT if tests.function is None else _function_hint(tests.function)
        return Problem(id, question, "", Kind.CODE, hint, tests=lambda: tests, group=group)
    answer = _text(record, "answer")
    if "choices" in record:
        choices = _choices(record)
        place = _place(answer, choices)
        return Problem(id, question, letter(place), Kind.CHOICE, CHOICE_HINT, choices, group=group)
    kind = _kind(record, answer)
    return Problem(id, question, answer, kind, BOXED_HINT, group=group)


def _kind(record: Mapping[str, Any], answer: str) -> Kind:
    named = record.get("kind")
    is_number = read_number(answer) is not None
    if named is None:
        return Kind.NUMBER if is_number else Kind.MATH
    if named not in (Kind.NUMBER, Kind.MATH, Kind.TEXT):
        raise ValueError(f"'kind' is {named!r}; it takes number, math or text.")
    if named == Kind.NUMBER and not is_number:
        raise ValueError(f"'answer' is {answer!r}, and that is no number.")
    return Kind(named)


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        what = "is missing" if value is None else f"is {value!r}, not a text"
        raise ValueError(f"the column {key!r} {what}.")
    return value


def _choices(record: Mapping[str, Any]) -> tuple[str, ...]:
    choices = record["choices"]
    if (
        not isinstance(choices, list)
        or not 2 <= len(choices) <= most_choices()
        or not all(isinstance(choice, str) for choice in choices)
    ):
        raise ValueError(f"'choices' must be a list of 2 to {most_choices()} texts.")
    return tuple(choices)


def _place(answer: str, choices: tuple[str, ...]) -> int:
    """Of the right choice, given by its text or its letter."""
    if answer in choices:
        return choices.index(answer)
    letters = [letter(place) for place in range(len(choices))]
    if answer.strip().upper() in letters:
        return letters.index(answer.strip().upper())
    raise ValueError(f"'answer' is {answer!r}, and that is none of the choices and no letter.")


def _tests(record: Mapping[str, Any]) -> CodeTests:
    tests = record["tests"]
    cases = []
    if isinstance(tests, list):
        for test in tests:
            if isinstance(test, dict) and {type(test.get("input")), type(test.get("output"))} == {
                str
            }:
                cases.append(CodeTest(test["input"], test["output"]))
    if not isinstance(tests, list) or not tests or len(cases) != len(tests):
        raise ValueError('\'tests\' must be a list of {"input": text, "output": text}.')
    function = record.get("function")
    if function is not None and not (isinstance(function, str) and function.isidentifier()):
        raise ValueError(f"'function' is {function!r}, and that is no name.")
    return CodeTests(tuple(cases), function)


def _function_hint(function: str) -> str:
    return (
        f"Write the Python function {function}. Put all of the code in one ```python block at the "
        "end."
    )
