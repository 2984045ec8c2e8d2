"""Conversations in which tools are offered: the calculator, alone or beside tools of no use here."""

import random
from dataclasses import replace
from typing import Any

from nano_data import tasks
from nano_data.chat import Conversation, Turn, plain_turn, random_system
from nano_data.problem import Problem, made_up_word

_DESCRIPTIONS = [
    "Calculate an arithmetic expression.",
    "Evaluate an arithmetic expression.",
    "A calculator.",
    "Evaluates a mathematical expression.",
    "Compute the value of an expression.",
    "Calculator",
    "Use this to do arithmetic.",
    "Evaluate a mathematical expression and return the result.",
    "",
]
_PARAMETERS = [
    "The expression to evaluate.",
    "An arithmetic expression, such as 12*34",
    "The expression",
    "The mathematical expression to evaluate",
    None,
    None,
]
_OTHERS = [
    ("get_weather", "Get the weather of a city.", "city"),
    ("get_current_weather", "Get the current weather", "location"),
    ("search", "Search the web.", "query"),
    ("get_time", "Get the time in a city.", "city"),
    ("translate", "Translate a text.", "text"),
]


def with_tools(rng: random.Random, split: str, language: str | None = None) -> Conversation:
    """Mostly sums, of any length, that go to the calculator; sometimes talk, or no calculator."""
    tools = [_calculator(rng)]
    if rng.random() < 0.25:
        name, description, parameter = rng.choice(_OTHERS)
        tools.insert(
            rng.randint(0, 1), _tool(name, description, parameter, None, rng.random() < 0.5)
        )
    kind = rng.random()
    if kind < 0.12:
        return _finish(rng, [plain_turn(tasks.draw("talk", rng, split, language))], tools)
    if kind < 0.18:
        others = [_tool(*rng.choice(_OTHERS), None, True)]
        return _finish(rng, [plain_turn(tasks.draw("addition", rng, split, language))], others)
    task = rng.choice(
        (
            "large_for_tool",
            "large_for_tool",
            "addition",
            "subtraction",
            "product_2x2",
            "product_by_digit",
            "large",
        )
    )
    problem = tasks.draw(task, rng, split, language)
    turns = [_call_turn(rng, problem)]
    if rng.random() < 0.25 and problem.value is not None and 0 <= problem.value < 10**6:
        turns.append(_call_turn(rng, tasks.follow_up(rng, problem, split, digits=4)))
    return _finish(rng, turns, tools)


def calculator_tool() -> dict[str, Any]:
    """The plainest form of the tool, as the README shows it."""
    return _tool("calculator", _DESCRIPTIONS[0], "expression", None, True)


def _call_turn(rng: random.Random, problem: Problem) -> Turn:
    result = f'{{"result": {problem.value}}}' if rng.random() < 0.2 else str(problem.value)
    return Turn(problem.question, str(problem.value), problem.answer, problem.expression, result)


def _finish(rng: random.Random, turns: list[Turn], tools: list[dict[str, Any]]) -> Conversation:
    if rng.random() < 0.4:  # many clients send earlier turns back without their thinking
        last = len(turns) - 1
        turns = [
            replace(t, shows_think=i == last, shows_call_think=False) for i, t in enumerate(turns)
        ]
    return Conversation(turns, rng.random() < 0.5, random_system(rng), tools)


def _calculator(rng: random.Random) -> dict[str, Any]:
    description = rng.choice(_DESCRIPTIONS)
    if rng.random() < 0.2:
        description = " ".join(made_up_word(rng) for _ in range(rng.randint(1, 5)))
    return _tool(
        "calculator", description, "expression", rng.choice(_PARAMETERS), rng.random() < 0.7
    )


def _tool(
    name: str, description: str, parameter: str, hint: str | None, required: bool
) -> dict[str, Any]:
    schema = {"type": "string"} if hint is None else {"type": "string", "description": hint}
    parameters: dict[str, Any] = {"type": "object", "properties": {parameter: schema}}
    if required:
        parameters["required"] = [parameter]
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}
