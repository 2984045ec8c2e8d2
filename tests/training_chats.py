"""Thirty conversations of every kind that training reads, from a fixed draw."""

import json
from random import Random
from typing import Any

TOOL = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Calculate.",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}},
    },
}
WORDS = "sum 37 + 48 = 85 é 数 [THINK] [/THINK] </s> [INST] [TOOL_CALLS] tab\tline\n $x^2$".split(
    " "
)


def conversations(count: int = 30) -> list[dict[str, Any]]:
    """Records with ``messages`` and sometimes ``tools``; what the user says may be anything."""
    random = Random(5)
    return [_conversation(random, number) for number in range(count)]


def _conversation(random: Random, number: int) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    if number % 3 == 0:
        messages.append({"role": "system", "content": _text(random)})
    has_tools = number % 4 == 0
    for _ in range(random.randint(1, 3)):
        messages.append({"role": "user", "content": _text(random)})
        if has_tools and random.random() < 0.7:
            messages += _called(random)
        messages.append(_said(random, number))
    return {"messages": messages, **({"tools": [TOOL]} if has_tools else {})}


def _called(random: Random) -> list[dict[str, Any]]:
    calls = [
        {
            "id": f"call0000{index}",
            "type": "function",
            "function": {"name": "calculator", "arguments": json.dumps({"expression": "1+1"})},
        }
        for index in range(random.randint(1, 2))
    ]
    call = {"role": "assistant", "content": None, "reasoning": "use it", "tool_calls": calls}
    results = [
        {"role": "tool", "tool_call_id": each["id"], "content": _text(random)} for each in calls
    ]
    return [call, *results]


def _said(random: Random, number: int) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", "content": _plain(random)}
    way = number % 5
    if way == 1:
        said["reasoning"] = _plain(random)
    elif way == 2:
        said["reasoning_content"] = _plain(random)
    elif way == 3:
        said["content"] = [
            {"type": "thinking", "thinking": _plain(random)},
            {"type": "text", "text": _plain(random)},
        ]
    if random.random() < 0.25:
        said["weight"] = 0
    return said


def _text(random: Random) -> str:
    return " ".join(random.choices(WORDS, k=random.randint(1, 9)))


def _plain(random: Random) -> str:
    return " ".join(random.choices([word for word in WORDS if "THINK" not in word], k=5))
