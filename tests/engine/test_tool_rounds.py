"""Python functions as tools: their schema, a call's result, and the loop, on scripted replies."""

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from mlx_magistral import Magistral
from mlx_magistral.engine.tool_rounds import ToolRounds, answer_with_tools
from mlx_magistral.errors import PromptError, ToolError
from mlx_magistral.events import (
    ContentDelta,
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from mlx_magistral.text.functions import function_schema, openai_tools, run_tool_now


def calculator(expression: str) -> str:
    """Calculate an arithmetic expression."""
    left, operator, right = expression.replace(" ", "").partition("*")
    if not operator:
        left, _, right = expression.replace(" ", "").partition("+")
        return str(int(left) + int(right))
    return str(int(left) * int(right))


def forecast(
    city: str, days: int = 1, unit: Literal["C", "F"] = "C", tags: list[str] | None = None
) -> dict[str, Any]:
    """Weather of the next days,
    in one city.

    Args:
        city: Its name.
        days (int): How many.
    """
    if city == "Atlantis":
        raise ToolError("there is no such city")
    return {"city": city, "days": days}


def test_schema_from_signature_and_docstring() -> None:
    assert function_schema(forecast) == {
        "type": "function",
        "function": {
            "name": "forecast",
            "description": "Weather of the next days, in one city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Its name."},
                    "days": {"type": "integer", "description": "How many."},
                    "unit": {"enum": ["C", "F"]},
                    "tags": {
                        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]
                    },
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }


def test_what_is_no_tool_is_refused() -> None:
    def unclear(what: object) -> None: ...
    def endless(*what: str) -> None: ...

    for tool, message in [(unclear, "what"), (endless, "what"), ({"name": "x"}, r"tools\[0\]")]:
        with pytest.raises(PromptError, match=message):
            openai_tools([tool])
    for no_list in ({"type": "function"}, 5):
        with pytest.raises(PromptError, match="must be a list"):
            openai_tools(no_list)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"city": "Bonn", "days": 2}', {"city": "Bonn", "days": 2}),
        ('{"city": "Atlantis"}', {"error": "there is no such city"}),
        ('{"town": "Bonn"}', {"error": "missing a required argument: 'city'"}),
        ("[1]", {"error": "arguments must be a JSON object, not [1]"}),
    ],
)
def test_call_gives_a_result_or_says_what_was_wrong(arguments: str, expected: object) -> None:
    assert json.loads(run_tool_now(forecast, arguments)) == expected


def test_broken_json_is_told_and_own_errors_go_through() -> None:
    assert "error" in json.loads(run_tool_now(forecast, '{"city": '))
    with pytest.raises(ValueError, match="invalid literal"):
        run_tool_now(calculator, '{"expression": "a*b"}')


class Replies:
    """Stands for ``Magistral.stream``: gives scripted replies and keeps what it was asked."""

    def __init__(self, *replies: list[Event]) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[list[Any], dict[str, Any]]] = []

    def __call__(self, messages: list[Any], **options: Any) -> Iterator[Event]:
        self.asked.append((list(messages), options))
        return iter(self.replies.pop(0))


def finished(reason: FinishReason) -> Finished:
    return Finished(reason, Usage(1, 1, 0), Timings(0, 0, 0, 0, 0))


CALLS: list[Event] = [
    ReasoningDelta("two sums"),
    ToolCallDelta(0, "call00000", "calculator", '{"expression": "2+3"}'),
    ToolCallDelta(1, "call00001", "calculator", '{"expression": "4*5"}'),
    finished(FinishReason.TOOL_CALLS),
]
ANSWER: list[Event] = [ContentDelta("5 and 20"), finished(FinishReason.STOP)]


def test_parallel_calls_run_and_the_answer_comes_back() -> None:
    replies = Replies(CALLS, ANSWER)
    given = [{"role": "user", "content": "x"}]
    options = {"tool_choice": "required", "seed": 1}
    reply = answer_with_tools(replies, "m", ToolRounds(given, [calculator], 8, options))
    assert reply.content == "5 and 20"
    assert given == [{"role": "user", "content": "x"}]
    (_, first), (conversation, second) = replies.asked
    assert first["tool_choice"] == "required" and "tool_choice" not in second
    assert second["seed"] == 1
    assert [message["role"] for message in conversation] == ["user", "assistant", "tool", "tool"]
    assert conversation[1]["reasoning"] == "two sums"
    assert [message["content"] for message in conversation[2:]] == ["5", "20"]
    assert conversation[3]["tool_call_id"] == "call00001"
    assert reply.messages == [*conversation[1:], {"role": "assistant", "content": "5 and 20"}]
    assert options == {"tool_choice": "required", "seed": 1}


def test_rounds_are_bounded_and_foreign_tools_left_to_the_caller() -> None:
    bounded = Replies(CALLS, CALLS, CALLS)
    reply = answer_with_tools(bounded, "m", ToolRounds("x", [calculator], 2, {}))
    assert reply.finish_reason is FinishReason.TOOL_CALLS and len(bounded.asked) == 3
    foreign = Replies(CALLS)
    reply = answer_with_tools(foreign, "m", ToolRounds("x", [forecast], 2, {}))
    assert len(reply.tool_calls) == 2 and len(foreign.asked) == 1


@pytest.mark.parametrize("question", ["What is 4821 * 377?", "What is 98765 + 4321?"])
def test_nano_uses_its_calculator(question: str) -> None:
    asked = []

    def calculator(expression: str) -> str:
        """Calculate an arithmetic expression."""
        asked.append(expression)
        left, operator, right = expression.partition("*" if "*" in expression else "+")
        numbers = int(left), int(right)
        return str(numbers[0] * numbers[1] if operator == "*" else sum(numbers))

    nano = Magistral.load("nano")
    reply = nano.generate(question, tools=[calculator], temperature=0)
    assert asked == [question.removeprefix("What is ").removesuffix("?").replace(" ", "")]
    value = str(4821 * 377 if "*" in question else 103086)
    assert reply.content is not None and value in reply.content
    assert reply.finish_reason is FinishReason.STOP
