"""``--schema``, ``--tool`` and the like: flags to keywords of stream, and commands as tools."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mlx_magistral.cli.tool_question import ask_to_run
from mlx_magistral.errors import UsageError
from mlx_magistral.events import ToolCall

_TOOL = re.compile(r"(?P<name>[A-Za-z0-9_-]{1,64})(\((?P<parameters>[\w, ]*)\))?=(?P<command>.+)")

_STRUCTURE = (
    click.option("--schema", help="The answer is JSON under this schema: a file, or the JSON."),
    click.option("--json-mode", is_flag=True, help="The answer is a JSON object."),
    click.option(
        "commands",
        "--tool",
        multiple=True,
        metavar="NAME=COMMAND",
        help="A command the model may call; it reads the arguments as JSON on stdin. "
        "NAME(a,b)=COMMAND names its parameters, which are texts.",
    ),
    click.option("--yes", is_flag=True, help="Run tools without asking."),
)


def structure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags for answers of a given form and for tools."""
    for option in reversed(_STRUCTURE):
        command = option(command)
    return command


def read_schema(text: str | None) -> dict[str, Any] | None:
    """The schema of ``--schema``: JSON text, or a file that holds it."""
    if text is None:
        return None
    source = "--schema"
    if not text.lstrip().startswith("{"):
        source = text
        try:
            text = Path(text).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--schema: {source} cannot be read ({error}).") from error
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{source} is not JSON: {error}.") from error
    if not isinstance(schema, dict):
        raise UsageError(f"{source} holds no JSON object.")
    return schema


class CommandTools:
    """Local commands as tools; each call is run after a yes at the terminal, or with ``--yes``."""

    def __init__(self, specifications: tuple[str, ...], needs_yes: bool, can_ask: bool) -> None:
        self._needs_yes = needs_yes
        self.commands: dict[str, list[str]] = {}
        self.schemas: list[dict[str, Any]] = []
        for specification in specifications:
            self._add(specification)
        if specifications and needs_yes and not can_ask:
            raise UsageError("--tool runs commands and nobody can be asked here. Add --yes.")

    def run(self, call: ToolCall) -> str:
        """The command's stdout; what went wrong, or a refusal, is told to the model instead."""
        command = self.commands[call.name]
        if self._needs_yes and not ask_to_run(command, call):
            return json.dumps({"error": "the user refused this call"})
        try:
            done = subprocess.run(
                command, input=call.arguments, capture_output=True, text=True, check=False
            )
        except OSError as error:
            return json.dumps({"error": f"{command[0]}: {error.strerror}"})
        if done.returncode:
            message = done.stderr.strip() or f"exit status {done.returncode}"
            return json.dumps({"error": message})
        return done.stdout.rstrip("\n")

    def _add(self, specification: str) -> None:
        found = _TOOL.fullmatch(specification)
        if found is None:
            raise UsageError(f"--tool must be NAME=COMMAND, not {specification!r}.")
        name = found["name"]
        if name in self.commands:
            raise UsageError(f"--tool {name} is there twice.")
        try:
            self.commands[name] = shlex.split(found["command"])
        except ValueError as error:
            raise UsageError(f"--tool {name}: {error}.") from error
        listed = "input" if found["parameters"] is None else found["parameters"]
        names = [each.strip() for each in listed.split(",") if each.strip()]
        parameters = {
            "type": "object",
            "properties": {each: {"type": "string"} for each in names},
            "required": names,
        }
        function = {"name": name, "description": name, "parameters": parameters}
        self.schemas.append({"type": "function", "function": function})
