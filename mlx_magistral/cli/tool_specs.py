"""What ``--tool`` says: a command's name, what it is for, what it takes; in a line or in a file.

NAME=COMMAND                                one text, ``input``
NAME(a, b)=COMMAND                          the texts a and b
NAME(a: number, b?: integer): What it is for.=COMMAND
FILE.json                                   an object, or several in a list, with "name",
                                            "command" and, as wanted, "description" and
                                            "parameters", a JSON Schema
"""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import UsageError

_NAME = r"[A-Za-z0-9_-]{1,64}"
_TOOL = re.compile(
    rf"(?P<name>{_NAME})(\((?P<parameters>[^()=]*)\))?(\s*:(?P<description>[^=]*))?=(?P<command>.+)",
    re.DOTALL,
)
_PARAMETER = re.compile(r"(?P<name>\w+)(?P<optional>\?)?(\s*:\s*(?P<type>\w+))?")
_TYPES = ("string", "number", "integer", "boolean", "array", "object")
_KEYS = ("name", "command", "description", "parameters")


@dataclass(frozen=True)
class ToolSpec:
    """A command that a model may call; ``parameters`` is the JSON Schema of what it reads."""

    name: str
    command: list[str]
    description: str
    parameters: dict[str, Any]

    @property
    def schema(self) -> dict[str, Any]:
        """As a model is told of it."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": function}


def read_tools(text: str) -> list[ToolSpec]:
    """The tools of one ``--tool``. Raises UsageError."""
    if "=" not in text and text.endswith(".json"):
        return _read_file(Path(text).expanduser())
    found = _TOOL.fullmatch(text)
    if found is None:
        raise UsageError(
            "--tool must be NAME=COMMAND, NAME(a: number): DESCRIPTION=COMMAND or FILE.json, "
            f"not {text!r}."
        )
    name, listed = found["name"], found["parameters"]
    parameters = _parameters(name, "input" if listed is None else listed)
    description = (found["description"] or "").strip() or name
    return [ToolSpec(name, _split(name, found["command"]), description, parameters)]


def _parameters(tool: str, listed: str) -> dict[str, Any]:
    properties, required = {}, []
    for text in filter(None, (each.strip() for each in listed.split(","))):
        found = _PARAMETER.fullmatch(text)
        kind = (found["type"] or "string") if found else ""
        if found is None or kind not in _TYPES:
            raise UsageError(
                f"--tool {tool}: the parameter {text!r} is no NAME, NAME: TYPE or NAME?: TYPE, "
                f"where TYPE is {', '.join(_TYPES[:-1])} or {_TYPES[-1]}."
            )
        properties[found["name"]] = {"type": kind}
        if not found["optional"]:
            required.append(found["name"])
    return {"type": "object", "properties": properties, "required": required}


def _read_file(path: Path) -> list[ToolSpec]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"--tool: {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"--tool: {path} is no JSON: {error}.") from error
    return [_from_object(path, each) for each in (value if isinstance(value, list) else [value])]


def _from_object(path: Path, value: Any) -> ToolSpec:
    """One tool of a file; that a schema is one is seen when a reply begins."""
    problem = None
    if not isinstance(value, dict):
        problem = f"a tool is an object, not {json.dumps(value)[:40]}"
    elif unknown := sorted(set(value) - set(_KEYS)):
        problem = f"{unknown[0]!r} is none of {', '.join(_KEYS)}"
    elif not re.fullmatch(_NAME, str(value.get("name", ""))):
        problem = '"name" must be up to 64 letters, digits, _ and -'
    elif not _is_command(value.get("command")):
        problem = '"command" must be a text, or a list of texts'
    elif not isinstance(value.get("parameters", {}), dict):
        problem = '"parameters" must be a JSON Schema, an object'
    if problem is not None:
        raise UsageError(f"--tool: {path}: {problem}.")
    name, command = value["name"], value["command"]
    return ToolSpec(
        name,
        _split(name, command) if isinstance(command, str) else list(command),
        str(value.get("description") or name),
        value.get("parameters") or _parameters(name, ""),
    )


def _is_command(value: Any) -> bool:
    parts = value if isinstance(value, list) else [value]
    return bool(value) and all(isinstance(each, str) for each in parts)


def _split(name: str, command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--tool {name}: {error}.") from error
