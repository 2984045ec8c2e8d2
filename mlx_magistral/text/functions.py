"""Python functions as tools: signature and docstring to a JSON schema, a call to a result.

No mistral_common here. Tools that are dicts or mistral-common objects pass through.
"""

import inspect
import json
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

from mlx_magistral.errors import PromptError, ToolError

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def openai_tools(tools: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Every tool as an OpenAI dict; raises PromptError for what is none."""
    if tools is None:
        return []
    if isinstance(tools, dict | str):
        raise PromptError(f"Tools must be a list of tools, not {type(tools).__name__}.")
    return [_openai_tool(tool, index) for index, tool in enumerate(tools)]


def functions_by_name(tools: Sequence[Any] | None) -> dict[str, Callable[..., Any]]:
    """The tools that are Python functions."""
    return {tool.__name__: tool for tool in tools or () if inspect.isroutine(tool)}


def call_function(function: Callable[..., Any], arguments: str) -> str:
    """The result as text: a string as it is, anything else as JSON.

    What the model got wrong (no JSON, other parameters) and a ToolError of the function come back
    as a text that says so. Any other error is the function's own and goes through.
    """
    try:
        values = json.loads(arguments)
        if not isinstance(values, dict):
            return _problem(f"arguments must be a JSON object, not {arguments}")
        inspect.signature(function).bind(**values)
    except (ValueError, TypeError) as error:
        return _problem(str(error))
    try:
        result = function(**values)
    except ToolError as error:
        return _problem(str(error))
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def function_schema(function: Callable[..., Any]) -> dict[str, Any]:
    """The OpenAI dict of a function: parameters from its signature, texts from its docstring."""
    hints = typing.get_type_hints(function)
    summary, about = _read_docstring(inspect.getdoc(function) or "")
    properties: dict[str, dict[str, Any]] = {}
    required: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PromptError(f"{function.__name__}: *{name} cannot be a tool's parameter.")
        properties[name] = _type_schema(hints.get(name, str), f"{function.__name__}({name})")
        if name in about:
            properties[name]["description"] = about[name]
        if parameter.default is parameter.empty:
            required.append(name)
    parameters = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    described = {"name": function.__name__, "description": summary, "parameters": parameters}
    return {"type": "function", "function": described}


def _openai_tool(tool: Any, index: int) -> dict[str, Any]:
    if inspect.isroutine(tool):
        return function_schema(tool)
    converted = tool.to_openai() if hasattr(tool, "to_openai") else tool
    function = converted.get("function") if isinstance(converted, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise PromptError(
            f"tools[{index}] is no function tool. It must be a Python function or "
            '{"type": "function", "function": {"name", "description", "parameters"}}.'
        )
    return converted  # type: ignore[no-any-return]


def _type_schema(hint: Any, place: str) -> dict[str, Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in _TYPES:
        return {"type": _TYPES[hint]}
    if origin is typing.Literal:
        return {"enum": list(inner)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_type_schema(each, place) for each in inner]}
    if hint is type(None):
        return {"type": "null"}
    if hint is list or origin is list:
        return {"type": "array", **({"items": _type_schema(inner[0], place)} if inner else {})}
    if hint is dict or origin is dict:
        return {"type": "object"}
    raise PromptError(
        f"{place}: a tool's parameter cannot be of type {hint}. Use str, int, float, bool, list, "
        "dict, Literal or a union of them."
    )


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The first paragraph, and the ``name: what it is`` lines under ``Args:``."""
    summary, _, rest = text.partition("\n\n")
    about = {}
    for line in rest.partition("Args:\n")[2].splitlines():
        name, colon, described = line.strip().partition(":")
        if colon and name.split(" ")[0].isidentifier():
            about[name.split(" ")[0]] = described.strip()
    return " ".join(summary.split()), about


def _problem(text: str) -> str:
    return json.dumps({"error": text}, ensure_ascii=False)
