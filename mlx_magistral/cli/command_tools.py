"""CommandTools: local commands as tools of a model, and what came of each call."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlx_magistral.cli.tool_question import ask_to_run, visible
from mlx_magistral.cli.tool_specs import ToolSpec, read_tools
from mlx_magistral.errors import UsageError
from mlx_magistral.events import ToolCall

# Of what a command printed, so many lines are shown; the model gets all of them.
_SHOWN_LINES = 8
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class CallMade:
    """A call and what the model was told of it: what the command printed, or why there is none."""

    call: ToolCall
    result: str
    problem: str | None = None

    def to_dict(self) -> dict[str, str]:
        """For ``--json``: ``error`` only where there was one."""
        made = {"id": self.call.id, "name": self.call.name, "arguments": self.call.arguments}
        return made | ({"result": self.result} if self.problem is None else {"error": self.problem})

    def describe(self) -> str:
        """For a person: one line, or a few where the command printed more."""
        name = visible(self.call.name)
        if self.problem is not None:
            return f"{name}: {visible(self.problem)}"
        lines = [visible(line) for line in self.result.expandtabs().split("\n")]
        if len(lines) == 1:
            return f"{name} gave {lines[0] or 'nothing'}"
        more = len(lines) - _SHOWN_LINES
        shown = [f"  {line}" for line in lines[:_SHOWN_LINES]]
        return "\n".join(
            [f"{name} gave {len(lines):,} lines:", *shown, *([f"  and {more:,} more"] * (more > 0))]
        )


class CommandTools:
    """Each call is run after a yes at the terminal, or with ``--yes``, for ``timeout_s`` at most.

    ``on_made`` is told of each when it is over. Raises UsageError for what ``--tool`` cannot mean.
    """

    def __init__(
        self,
        specifications: tuple[str, ...],
        needs_yes: bool,
        can_ask: bool,
        *,
        timeout_s: float = TIMEOUT_S,
        on_made: Callable[[CallMade], None] = lambda made: None,
    ) -> None:
        self._needs_yes = needs_yes
        self._timeout_s = timeout_s
        self._on_made = on_made
        self.tools: dict[str, ToolSpec] = {}
        self.made: list[CallMade] = []
        for tool in (tool for each in specifications for tool in read_tools(each)):
            if tool.name in self.tools:
                raise UsageError(f"--tool {tool.name} is there twice.")
            self.tools[tool.name] = tool
        if specifications and needs_yes and not can_ask:
            raise UsageError("--tool runs commands and nobody can be asked here. Add --yes.")

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """As a model is told of them."""
        return [tool.schema for tool in self.tools.values()]

    def run(self, call: ToolCall) -> str:
        """The command's stdout; what went wrong, or a refusal, is told to the model instead."""
        made = self._run(call)
        self.made.append(made)
        self._on_made(made)
        return made.result

    def _run(self, call: ToolCall) -> CallMade:
        if call.name not in self.tools:
            return _failed(call, f"there is no such tool; there is {', '.join(self.tools)}")
        command = self.tools[call.name].command
        if self._needs_yes and not ask_to_run(command, call):
            return _failed(call, "the user refused this call")
        try:
            done = subprocess.run(
                command,
                input=call.arguments,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=self._timeout_s,
            )
        except OSError as error:
            return _failed(call, f"{command[0]}: {error.strerror}")
        except subprocess.TimeoutExpired:
            return _failed(call, f"ended after {self._timeout_s:g} s without a result")
        if done.returncode:
            message = done.stderr.strip()
            return _failed(call, f"exit status {done.returncode}" + f": {message}" * bool(message))
        return CallMade(call, done.stdout.rstrip("\n"))


def _failed(call: ToolCall, problem: str) -> CallMade:
    return CallMade(call, json.dumps({"error": problem}), problem)
