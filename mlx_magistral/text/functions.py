"""Python functions as tools: signature and docstring to a JSON schema, a call to a result.

No mistral_common here. Tools that are dicts or mistral-common objects pass through; an object with
``to_openai`` and ``run`` is a tool that runs itself.
"""

import inspect
import json
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mlx_magistral.errors import PromptError, ToolError, UsageError

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


class OwnTool(Protocol):
    """A tool that knows how it is run; any thread may run it."""

    def to_openai(self) -> dict[str, Any]: ...
    def run(self, arguments: str) -> str: ...


RunTool = Callable[..., Any] | OwnTool


def openai_tools(tools: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Every tool as an OpenAI dict; raises PromptError for what is none."""
    if tools is None:
        return []
    if isinstance(tools, dict | str) or not isinstance(tools, Sequence):
        raise PromptError(f"Tools must be a list of tools, not {type(tools).__name__}.")
    return [_openai_tool(tool, index) for index, tool in enumerate(tools)]


def tools_by_name(tools: Sequence[Any] | None) -> dict[str, RunTool]:
    """The tools that can be run here: functions, async ones too, and those that run themselves."""
    found: dict[str, RunTool] = {}
    for tool in tools if isinstance(tools, Sequence) else ():
        if inspect.isroutine(tool):
            found[tool.__name__] = tool
        elif _runs_itself(tool):
            found[tool.to_openai()["function"]["name"]] = tool
    return found


def run_tool_now(tool: RunTool, arguments: str) -> str:
    """The result as text, waiting for it; see run_tool.

    Raises UsageError for an async function where an event loop runs already: it would wait for
    itself.
    """
    if not inspect.iscoroutinefunction(tool):
        return _called(tool, arguments)
    import asyncio  # 30 ms that a command line without async tools need not wait for

    if _is_on_a_loop():
        raise UsageError(
            f"{tool.__name__} is an async tool, and an event loop is running here. Use agenerate."
        )
    return asyncio.run(run_tool(tool, arguments))


async def run_tool(tool: RunTool, arguments: str) -> str:
    """The result as text: a string as it is, anything else as JSON.

    An async function is awaited, another one runs in a thread. What the model got wrong (no JSON,
    other parameters) and a ToolError of the function come back as a text that says so. Any other
    error is the function's own and goes through.
    """
    if not inspect.iscoroutinefunction(tool):
        import asyncio

        return await asyncio.to_thread(_called, tool, arguments)
    values = _values(tool, arguments)
    if isinstance(values, str):
        return values
    try:
        return _as_text(await tool(**values))
    except ToolError as error:
        return _problem(str(error))


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


def _runs_itself(tool: Any) -> bool:
    return callable(getattr(tool, "run", None)) and callable(getattr(tool, "to_openai", None))


def _is_on_a_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _called(tool: RunTool, arguments: str) -> str:
    if not inspect.isroutine(tool):
        return tool.run(arguments)  # type: ignore[union-attr]
    values = _values(tool, arguments)
    if isinstance(values, str):
        return values
    try:
        return _as_text(tool(**values))
    except ToolError as error:
        return _problem(str(error))


def _values(function: Callable[..., Any], arguments: str) -> dict[str, Any] | str:
    """The parameters of a call, or what to tell the model that got them wrong."""
    try:
        values = json.loads(arguments)
        if not isinstance(values, dict):
            return _problem(f"arguments must be a JSON object, not {arguments}")
        inspect.signature(function).bind(**values)
    except (ValueError, TypeError) as error:
        return _problem(str(error))
    return values


def _as_text(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def _problem(text: str) -> str:
    return json.dumps({"error": text}, ensure_ascii=False)
