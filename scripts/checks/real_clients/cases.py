"""What is asked of every client, what the scripted model says to it, and what has to come of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlx_magistral.server.backend import GenerationRequest

from .recording import Exchange
from .scripted import Turn

CASES = ("plain", "tool", "error", "second", "long", "abort", "two")

# A prompt of each case has its mark; requests without one (titles, summaries) get a short answer.
_LINES = "".join(f"Line {number} of a long file that says nothing.\n" for number in range(1500))
PROMPTS = {
    "plain": "check-plain: what is 2 + 2?",
    "tool": "check-tool: run the tool and say what it returned.",
    "error": "check-error: run the tool and say what went wrong.",
    "second": "check-second: and what was that about?",
    "long": f"check-long: say that you have read this.\n{_LINES}",
    "abort": "check-abort: think for a long time.",
    "two": "check-plain: what is 2 + 2?",
}
SAID = {
    "plain": "The answer is four-4.",
    "second": "That was the second-2.",
    "long": "Read-it-all.",
}
# The server's own word for a client that has left, as it shall in one case.
_CLIENT_LEFT = 499
# What the tool returns, and what it says when it fails.
RESULT, FAILURE = "forty-42", "thirteen"

# Tools of clients, by name: arguments that work and arguments that fail.
_SHELL = f"echo {RESULT}", f"cat /no-such-file-{FAILURE}"
TOOLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "add": ({"a": 2, "b": 40}, {"a": 13, "b": 1}),
    **{
        name: tuple({key: command, **more} for command in _SHELL)  # type: ignore[misc]
        for name, key, more in [
            ("Bash", "command", {"description": "Runs it"}),
            ("bash", "command", {"description": "Runs it"}),
            ("exec_command", "cmd", {}),
            ("shell_command", "command", {}),
            ("run_shell_command", "command", {"is_background": False}),
            ("execute_command", "command", {"requires_approval": False}),
            ("run_commands", "commands", {}),
        ]
    },
}
TOOLS["run_commands"] = tuple({"commands": [each]} for each in _SHELL)  # type: ignore[assignment]


def script(request: GenerationRequest) -> Turn:
    """What the model says."""
    messages = [each for each in request.messages or () if isinstance(each, dict)]
    last = messages[-1] if messages else {}
    if last.get("role") == "tool":
        return Turn(content=f"The tool said: {str(last.get('content'))[:400]}")
    mark = _latest_mark(messages)
    if request.tool_choice not in ("auto", "none", "required") and mark in SAID:
        return Turn(calls=((request.tool_choice, json.dumps({"text": SAID[mark]})),))
    if mark in ("tool", "error"):
        return _calling(request, is_failing=mark == "error")
    if mark == "abort":
        return Turn(is_slow=True)
    return Turn(content=SAID.get(mark) or _said_before(messages) or "Fine.")


def _said_before(messages: Sequence[dict[str, Any]]) -> str:
    """What a client keeps of a conversation that it has summarized."""
    texts = json.dumps([each.get("content") for each in messages])
    return next((text for text in SAID.values() if text in texts), "")


def _latest_mark(messages: Sequence[dict[str, Any]]) -> str:
    for message in reversed(messages):
        if message.get("role") == "user":
            text = json.dumps(message.get("content"))
            found = [
                (text.rfind(f"check-{name}"), name) for name in (*SAID, "tool", "error", "abort")
            ]
            place, name = max(found)
            if place >= 0:
                return name
    return ""


def _calling(request: GenerationRequest, *, is_failing: bool) -> Turn:
    """A call of the first tool that is known, with the arguments that it declares."""
    functions = {tool["function"]["name"]: tool["function"] for tool in request.tools or ()}
    for name, arguments in TOOLS.items():
        if name in functions:
            declared = (functions[name].get("parameters") or {}).get("properties", {})
            given = arguments[is_failing]
            fitting = {key: value for key, value in given.items() if key in declared}
            return Turn(calls=((name, json.dumps(fitting or given)),))
    return Turn(content=f"None of these tools is known: {', '.join(functions)}")


@dataclass
class Outcome:
    """What a client printed, and the exchanges that it had, for one case."""

    case: str
    output: str
    exchanges: list[Exchange]
    problems: list[str] = field(default_factory=list)

    def judge(self) -> list[str]:
        """What is wrong, a line each; nothing for a case that passed."""
        posts = [each for each in self.exchanges if each.path.startswith("POST /v1/")]
        refused = [
            f"{each.path}: {each.status} {each.error[:300]}"
            for each in posts
            if each.status >= 400 and each.status != _CLIENT_LEFT
        ]
        found = [*self.problems, *refused]
        if not posts:
            found.append("no request came")
        for wanted in _wanted(self.case):
            if wanted not in self.output:
                found.append(f"{wanted!r} is not in the output: {self.output[-300:]!r}")
        if self.case == "second" and not any(SAID["plain"] in _text(each) for each in posts[1:]):
            found.append("the first reply was not given back")
        return found


def _wanted(case: str) -> tuple[str, ...]:
    return {
        "plain": (SAID["plain"],),
        "two": (SAID["plain"],),
        "tool": (RESULT,),
        "error": (FAILURE,),
        "second": (SAID["second"],),
        "long": (SAID["long"],),
    }.get(case, ())


def _text(exchange: Exchange) -> str:
    return json.dumps(exchange.body, ensure_ascii=False)
