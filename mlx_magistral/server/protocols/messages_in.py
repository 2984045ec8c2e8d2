"""Anthropic's messages and tools to chat messages and function tools."""

import json
from typing import Any

from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.protocols.fields import mistral_id


def to_chat(
    system: str | list[dict[str, Any]] | None, messages: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The conversation as chat messages; raises ApiError at a block that is not supported."""
    chat: list[dict[str, Any]] = []
    if system:
        chat.append({"role": "system", "content": _system(system)})
    for index, message in enumerate(messages):
        place = f"messages.{index}"
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise _wrong(f"{place}.role", f"must be user or assistant, not {role!r}")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, list):
            raise _wrong(f"{place}.content", "must be a text or a list of blocks")
        if role == "assistant":
            chat.append(_assistant(content, place))
        else:
            chat += _user(role, content, place)
    return chat


def to_functions(tools: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Custom tools as function tools; raises ApiError for one that the server would have to run."""
    functions = []
    for index, tool in enumerate(tools or ()):
        if tool.get("type") not in (None, "custom"):
            raise _wrong(f"tools.{index}.type", f"{tool['type']!r} is not supported, only custom")
        function = {
            "name": tool.get("name"),
            "description": tool.get("description") or "",
            "parameters": tool.get("input_schema") or {"type": "object", "properties": {}},
        }
        functions.append({"type": "function", "function": function})
    return functions or None


def _system(system: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """The system prompt; with thinking blocks it is a template of the caller's own."""
    if isinstance(system, str) or not any(_type(block, "system") == "thinking" for block in system):
        return _text(system, "system")
    kinds = ("text", "thinking")
    for block in system:
        if block.get("type") not in kinds:
            raise _wrong("system", f"block of type {block.get('type')!r} is not supported")
    return [
        {"type": block["type"], block["type"]: _string(block, block["type"], "system")}
        for block in system
    ]


def _assistant(content: list[Any], place: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    calls = []
    for at, block in enumerate(content):
        where = f"{place}.content.{at}"
        match _type(block, where):
            case "text":
                if text := _string(block, "text", where):
                    parts.append({"type": "text", "text": text})
            case "thinking":
                if text := _string(block, "thinking", where):
                    parts.append({"type": "thinking", "thinking": text})
            case "redacted_thinking":
                continue
            case "tool_use":
                function = {
                    "name": _string(block, "name", where),
                    "arguments": json.dumps(block.get("input") or {}, ensure_ascii=False),
                }
                call_id = mistral_id(_string(block, "id", where))
                calls.append({"id": call_id, "type": "function", "function": function})
            case kind:
                raise _wrong(where, f"block of type {kind!r} is not supported")
    return {"role": "assistant", "content": parts, **({"tool_calls": calls} if calls else {})}


def _user(role: str, content: list[Any], place: str) -> list[dict[str, Any]]:
    """Tool results first, each a message of its own, then the text."""
    results = []
    texts = []
    for at, block in enumerate(content):
        where = f"{place}.content.{at}"
        match _type(block, where):
            case "text":
                texts.append({"type": "text", "text": _string(block, "text", where)})
            case "tool_result":
                text = _text(block.get("content") or "", where)
                call_id = mistral_id(_string(block, "tool_use_id", where))
                results.append({"role": "tool", "tool_call_id": call_id, "content": text})
            case kind:
                raise _wrong(where, f"block of type {kind!r} is not supported")
    return [*results, *([{"role": role, "content": texts}] if texts else [])]


def _text(content: Any, place: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _wrong(place, "must be a text or a list of text blocks")
    for block in content:
        if _type(block, place) != "text":
            raise _wrong(place, f"block of type {block.get('type')!r} is not supported")
    return "\n\n".join(_string(block, "text", place) for block in content)


def _type(block: Any, place: str) -> Any:
    if not isinstance(block, dict):
        raise _wrong(place, "must be an object")
    return block.get("type")


def _string(block: dict[str, Any], key: str, place: str) -> str:
    value = block.get(key)
    if not isinstance(value, str):
        raise _wrong(f"{place}.{key}", "must be a text")
    return value


def _wrong(place: str, what: str) -> ApiError:
    return ApiError(400, f"{place}: {what}.", "invalid_value", place)
