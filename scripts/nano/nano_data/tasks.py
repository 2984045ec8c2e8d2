"""The tasks by name, drawing from them, and questions that go on from an answer."""

import random
from collections.abc import Callable
from dataclasses import replace

from nano_data import phrases, puzzles, sums
from nano_data.problem import Problem, arithmetic_key, number, split_of

TASKS: dict[str, Callable[[random.Random, str], Problem]] = {
    "addition": sums.addition,
    "subtraction": sums.subtraction,
    "product_by_digit": sums.product_by_digit,
    "product_2x2": sums.product_2x2,
    "story": puzzles.story,
    "chain": sums.chain,
    "comparison": puzzles.comparison,
    "sorting": puzzles.sorting,
    "largest": puzzles.largest,
    "counting": puzzles.counting,
    "large": sums.large,
    "talk": puzzles.talk,
    "large_for_tool": sums.large_for_tool,
}


def draw(task: str, rng: random.Random, split: str, language: str | None = None) -> Problem:
    """A random problem of the task whose key falls into the split."""
    while True:
        chosen = language or rng.choices(phrases.LANGUAGES, (2, 1, 1))[0]
        problem = TASKS[task](rng, chosen)
        if split_of(problem.key) == split:
            return replace(problem, question=_as_typed(rng, problem.question))


def follow_up(rng: random.Random, previous: Problem, split: str, digits: int = 3) -> Problem:
    """`now add 5`: an operation on the previous value, whose scratch work starts by copying it."""
    assert previous.value is not None and previous.value >= 0
    while True:
        a = previous.value
        operator = rng.choice("++-*") if a < 1000 or digits > 3 else rng.choice("+-")
        b = number(rng, rng.randint(1, digits))
        if operator == "*" and digits <= 3:
            b = number(rng, 2 if a < 100 and rng.random() < 0.3 else 1)
        if operator == "-" and b > a:
            b = rng.randint(0, a)
        if split_of(arithmetic_key(operator, a, b)) == split:
            break
    text = rng.choice(phrases.FOLLOW_UP[previous.language][operator]).format(b=b)
    return sums.arithmetic(rng, previous.language, operator, a, b, text)


def _as_typed(rng: random.Random, question: str) -> str:
    """Now and then no capital, no final mark, a space or a line break too many."""
    if rng.random() < 0.08:
        question = question[0].lower() + question[1:]
    if rng.random() < 0.08 and len(question) > 8:
        question = question.rstrip("?.! ")
    if rng.random() < 0.03:
        question += rng.choice(("\n", " "))
    return question
