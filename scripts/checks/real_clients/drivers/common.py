"""What the small programs here share; they run in a client's own environment, without ours."""

import json
import os
import sys
from collections.abc import Callable

URL = os.environ["CHECK_URL"]
KEY = os.environ["CHECK_KEY"]
MODEL = "magistral"
PROMPTS = json.loads(os.environ["CHECK_PROMPTS"])
PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}


def add(a: int, b: int) -> str:
    """Add two numbers."""
    if a == 13:
        raise ValueError("thirteen is not added here")
    return f"forty-{a + b}"


def result_of(arguments: str | dict) -> str:
    """What the tool gives, an error as its text."""
    values = json.loads(arguments) if isinstance(arguments, str) else arguments
    try:
        return add(**values)
    except ValueError as error:
        return f"Error: {error}"


def run(
    answer: Callable[[str], str],
    with_tool: Callable[[str], str] | None,
    two_turns: Callable[[str, str], str],
) -> None:
    """The case that the command line names."""
    case = sys.argv[1]
    if case in ("tool", "error"):
        assert with_tool is not None
        print(with_tool(PROMPTS[case]))
    elif case == "second":
        print(two_turns(PROMPTS["plain"], PROMPTS["second"]))
    else:
        print(answer(PROMPTS[case]))
