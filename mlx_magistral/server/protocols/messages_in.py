"""Anthropic's messages and tools to chat messages and function tools."""

import json
from collections.abc import Collection
from typing import Any

from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.protocols.fields import mistral_id
from mlx_magistral.text.placeholders import document_text, part_text, result_text
from mlx_magistral.text.tolerance import Note, known_fields, note_in_log

_SYSTEM = ("system", "developer")
_MESSAGE_FIELDS = ("role", "content")
_BLOCK_FIELDS = frozenset(
    "type text thinking id name input tool_use_id content is_error source title context "
    "tool_name".split()
)
# What Anthropic's own tools did in an earlier reply, whose text says what came of it.
_PROVIDERS_CALLS = ("server_tool_use", "mcp_tool_use")
_MEDIA = ("image", "document", "search_result")
# Claude Code's first block of a system prompt: it is for billing, and another one in each request,
# so that no prompt would begin like the one before.
_BILLING = "x-anthropic-billing-header:"
# Tools that Anthropic's servers run. Those that a client runs by a schema of Anthropic's own (bash,
# text_editor, computer, memory) cannot be described to this model.
_HOSTED = ("web_search_", "web_fetch_", "code_execution_", "tool_search_tool_", "mcp_toolset")


def to_chat(
    system: str | list[dict[str, Any]] | None, messages: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The conversation as chat messages; raises ApiError at a block that is not supported.

    A last message of the assistant is the beginning of the reply.
    """
    chat: list[dict[str, Any]] = []
    if system:
        chat.append({"role": "system", "content": _system(system, "system")})
    for index, given in enumerate(messages):
        place = f"messages.{index}"
        message = known_fields(given, _MESSAGE_FIELDS, note_in_log, f"{place}.")
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", *_SYSTEM):
            raise _wrong(f"{place}.role", f"must be user or assistant, not {role!r}")
        if content is None or isinstance(content, str):
            content = [{"type": "text", "text": content or ""}]
        if not isinstance(content, list):
            raise _wrong(f"{place}.content", "must be a text or a list of blocks")
        if role == "assistant":
            chat.append(_assistant(content, place))
        elif role in _SYSTEM:
            chat.append({"role": "system", "content": _system(content, place)})
        else:
            follows_result = bool(chat) and chat[-1]["role"] == "tool"
            chat += _user(content, place, follows_result=follows_result)
    if chat[-1]["role"] == "assistant" and "tool_calls" not in chat[-1]:
        chat[-1]["prefix"] = True
    return chat


def to_functions(
    tools: list[dict[str, Any]] | None, note: Note, chosen: Collection[str] = ()
) -> list[dict[str, Any]] | None:
    """Custom tools as function tools; what Anthropic's servers would run is noted and left out.

    Raises ApiError for another kind, and for a tool left out that has to be called.
    """
    functions = []
    for index, tool in enumerate(tools or ()):
        kind, place = tool.get("type"), f"tools.{index}"
        if isinstance(kind, str) and kind.startswith(_HOSTED) and tool.get("name") not in chosen:
            note(f"{place}.{kind}")
            continue
        if kind not in (None, "custom"):
            raise _wrong(f"{place}.type", f"{kind!r} is not supported, only custom")
        known = ("type", "name", "description", "input_schema", "strict")
        fields = known_fields(tool, known, note, f"{place}.")
        function = {
            "name": fields.get("name"),
            "description": fields.get("description", ""),
            "parameters": fields.get("input_schema") or {"type": "object", "properties": {}},
            **({"strict": True} if fields.get("strict") is True else {}),
        }
        functions.append({"type": "function", "function": function})
    return functions or None


def _system(system: str | list[Any], place: str) -> str | list[dict[str, Any]]:
    """Instructions; with thinking blocks they are a template of the caller's own."""
    if isinstance(system, str):
        return system
    parts = []
    for at, each in enumerate(system):
        where = f"{place}.{at}"
        block = _block(each, where)
        kind = block.get("type")
        if kind not in ("text", "thinking"):
            raise _wrong(where, f"block of type {kind!r} is not supported")
        text = _string(block, kind, where)
        if not text.startswith(_BILLING):
            parts.append({"type": kind, kind: text})
    return parts if any(part["type"] == "thinking" for part in parts) else _joined(parts)


def _joined(parts: list[dict[str, Any]]) -> str:
    return "\n\n".join(part["text"] for part in parts)


def _assistant(content: list[Any], place: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    calls = []
    for at, each in enumerate(content):
        where = f"{place}.content.{at}"
        block = _block(each, where)
        match block.get("type"):
            case "text" | "thinking" as kind:
                if text := _string(block, kind, where):
                    parts.append({"type": kind, kind: text})
            case "redacted_thinking":
                continue
            case str(kind) if kind in _PROVIDERS_CALLS or kind.endswith("_tool_result"):
                note_in_log(f"{where}.{kind}")
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


def _user(content: list[Any], place: str, *, follows_result: bool) -> list[dict[str, Any]]:
    """Tool results first, each a message of its own, then the text.

    An image or a document beside a tool's result is what the tool has read.
    """
    results = []
    texts = []
    is_read = follows_result or any(
        isinstance(each, dict) and each.get("type") == "tool_result" for each in content
    )
    for at, each in enumerate(content):
        where = f"{place}.content.{at}"
        block = _block(each, where)
        match block.get("type"):
            case "text":
                texts.append({"type": "text", "text": _string(block, "text", where)})
            case "tool_result":
                call_id = mistral_id(_string(block, "tool_use_id", where))
                text = _result(block, where)
                results.append({"role": "tool", "tool_call_id": call_id, "content": text})
            case kind if kind in _MEDIA and (is_read or document_text(block) is not None):
                texts.append({"type": "text", "text": part_text(block)})
            case kind:
                raise _wrong(
                    where, f"block of type {kind!r} is not supported: the model reads text only"
                )
    return [*results, *([{"role": "user", "content": texts}] if texts else [])]


def _result(block: dict[str, Any], where: str) -> str:
    """A tool's result; one that failed says so, because the template has no sign for it."""
    text = result_text(block.get("content") or "")
    if text is None:
        raise _wrong(f"{where}.content", "must be a text or a list of blocks")
    if block.get("is_error") is True and "error" not in text[:100].lower():
        return f"Error: {text}"
    return text


def _block(block: Any, place: str) -> dict[str, Any]:
    """A block without what says nothing to the model."""
    if not isinstance(block, dict):
        raise _wrong(place, "must be an object")
    return known_fields(block, _BLOCK_FIELDS, note_in_log, f"{place}.")


def _string(block: dict[str, Any], key: str, place: str) -> str:
    value = block.get(key)
    if not isinstance(value, str):
        raise _wrong(f"{place}.{key}", "must be a text")
    return value


def _wrong(place: str, what: str) -> ApiError:
    return ApiError(400, f"{place}: {what}.", "invalid_value", place)
