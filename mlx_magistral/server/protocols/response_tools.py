"""The tools of a response: what of them the model is offered, and whose name a call carries back.

Three kinds are the client's to run and can be offered: functions, functions inside a namespace
(Codex groups those of an MCP server so), and custom tools, whose input is a text. A tool that
OpenAI's servers would run is left out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.text.tolerance import Note, known_fields

_HOSTED = (
    "web_search",
    "file_search",
    "code_interpreter",
    "image_generation",
    "computer",
    "mcp",
    "tool_search",
    "local_shell",
    "shell",
    "apply_patch",
    "programmatic_tool_calling",
)
_FUNCTION_FIELDS = ("type", "name", "description", "parameters", "strict")
_CUSTOM_FIELDS = ("type", "name", "description", "format")
_NAMESPACE_FIELDS = ("type", "name", "description", "tools")


@dataclass(frozen=True)
class OfferedTool:
    """A tool as the model knows it; ``name`` is what the client calls it, in ``namespace``."""

    offered_as: str
    name: str
    namespace: str | None
    is_custom: bool
    function: dict[str, Any]


class ResponseTools:
    """Every tool that a request brings; ``said`` are those the reply's ``tools`` may name."""

    def __init__(self, tools: Sequence[dict[str, Any]] | None, note: Note) -> None:
        self.said: list[dict[str, Any]] = []
        self.left_out: set[str] = set()
        self._note = note
        self._offered: dict[str, OfferedTool] = {}
        self._seen: set[tuple[str | None, str]] = set()
        self.add(tools or (), "tools")

    def add(self, tools: Sequence[dict[str, Any]], place: str) -> None:
        """Offer these too; raises ApiError for a kind that nobody knows."""
        for index, tool in enumerate(tools):
            where = f"{place}.{index}"
            kind = tool.get("type") if isinstance(tool, dict) else None
            if kind == "namespace":
                self._add_namespace(tool, where)
            elif kind in ("function", "custom"):
                self._offer(tool, None, where)
                self.said.append(tool)
            elif isinstance(kind, str) and kind.startswith(_HOSTED):
                self.left_out.add(kind)
                self._note(f"{where}.{kind}")
            else:
                raise _wrong(where, f"type {kind!r} is not supported")

    @property
    def functions(self) -> list[dict[str, Any]] | None:
        """In the chat's shape; None for none."""
        found = [{"type": "function", "function": each.function} for each in self._offered.values()]
        return found or None

    def named(self, offered_as: str) -> OfferedTool | None:
        """The tool that the model calls so."""
        return self._offered.get(offered_as)

    def offered_name(self, name: Any, namespace: Any) -> Any:
        """What the model knows a client's tool as; the name itself where it is not offered."""
        for each in self._offered.values():
            if (each.name, each.namespace) == (name, namespace):
                return each.offered_as
        return name

    def _add_namespace(self, tool: dict[str, Any], place: str) -> None:
        fields = known_fields(tool, _NAMESPACE_FIELDS, self._note, f"{place}.")
        name, inner = fields.get("name"), fields.get("tools", [])
        if not isinstance(name, str) or not isinstance(inner, list):
            raise _wrong(place, "a namespace has a name and a list of tools")
        kept = []
        for index, each in enumerate(inner):
            where = f"{place}.tools.{index}"
            kind = each.get("type", "function") if isinstance(each, dict) else None
            if kind not in ("function", "custom"):
                raise _wrong(where, f"type {kind!r} is not supported")
            self._offer(each, name, where)
            kept.append(each)
        if kept:
            self.said.append({**tool, "tools": kept})

    def _offer(self, tool: dict[str, Any], namespace: str | None, place: str) -> None:
        is_custom = tool.get("type") == "custom"
        known = _CUSTOM_FIELDS if is_custom else _FUNCTION_FIELDS
        fields = known_fields(tool, known, self._note, f"{place}.")
        name = fields.get("name")
        if not isinstance(name, str) or not name:
            raise _wrong(f"{place}.name", "must be a text")
        if (namespace, name) in self._seen:
            return
        self._seen.add((namespace, name))
        # Names are told apart by their namespace only where two are the same.
        offered_as = name
        if offered_as in self._offered and namespace is not None:
            offered_as = f"{namespace.rstrip('_')}__{name}"
        if is_custom:
            function = _function_of_custom(fields)
        else:
            function = {key: fields[key] for key in fields if key != "type"}
        function["name"] = offered_as
        self._offered[offered_as] = OfferedTool(offered_as, name, namespace, is_custom, function)


def custom_arguments(text: Any) -> str:
    """A custom call's input as arguments of the function that stands for it."""
    return json.dumps({"input": text if isinstance(text, str) else ""}, ensure_ascii=False)


def custom_input(arguments: str) -> str:
    """The input of a custom call, from the function's arguments; broken ones as they are."""
    try:
        values = json.loads(arguments)
    except ValueError:
        return arguments
    text = values.get("input") if isinstance(values, dict) else None
    return text if isinstance(text, str) else arguments


def _function_of_custom(fields: dict[str, Any]) -> dict[str, Any]:
    described = [str(fields.get("description", ""))]
    form = fields.get("format")
    if isinstance(form, dict) and isinstance(form.get("definition"), str):
        described.append(f"The input keeps to this {form.get('syntax')}:\n{form['definition']}")
    parameters = {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    return {"description": "\n\n".join(filter(None, described)), "parameters": parameters}


def _wrong(place: str, what: str) -> ApiError:
    return ApiError(400, f"{place}: {what}.", "invalid_value", place)
