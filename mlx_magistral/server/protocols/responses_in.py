"""Input items and tools of OpenAI's responses to chat messages and function tools."""

from typing import Any

from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.protocols.fields import mistral_id

_TEXT_PARTS = ("input_text", "output_text", "text", "reasoning_text", "summary_text")


def to_chat(instructions: str | None, given: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation; items of the assistant that follow each other are one message."""
    chat: list[dict[str, Any]] = []
    if instructions:
        chat.append({"role": "system", "content": instructions})
    if isinstance(given, str):
        return [*chat, {"role": "user", "content": given}]
    for index, item in enumerate(given):
        place = f"input.{index}"
        match item.get("type", "message"):
            case "message" if item.get("role") == "assistant":
                _assistant(chat)["content"] += _parts(item.get("content"), "text", place)
            case "message" if item.get("role") in ("system", "developer"):
                content = _system(item.get("content"), place)
                chat.append({"role": item["role"], "content": content})
            case "message":
                text = _joined(item.get("content"), place)
                chat.append({"role": item.get("role"), "content": text})
            case "reasoning":
                thoughts = item.get("content") or item.get("summary") or []
                _assistant(chat)["content"] += _parts(thoughts, "thinking", place)
            case "function_call":
                function = {"name": item.get("name"), "arguments": item.get("arguments")}
                call_id = mistral_id(item.get("call_id"))
                call = {"id": call_id, "type": "function", "function": function}
                _assistant(chat).setdefault("tool_calls", []).append(call)
            case "function_call_output":
                call_id = mistral_id(item.get("call_id"))
                text = _joined(item.get("output"), place)
                chat.append({"role": "tool", "tool_call_id": call_id, "content": text})
            case kind:
                raise _wrong(place, f"item of type {kind!r} is not supported")
    return chat


def to_functions(tools: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Function tools in the chat's shape; raises ApiError for hosted ones."""
    functions = []
    for index, tool in enumerate(tools or ()):
        if tool.get("type") != "function":
            raise _wrong(f"tools.{index}", f"type {tool.get('type')!r} is not supported")
        known = ("name", "description", "parameters", "strict")
        function = {key: tool[key] for key in known if tool.get(key) is not None}
        functions.append({"type": "function", "function": function})
    return functions or None


def _assistant(chat: list[dict[str, Any]]) -> dict[str, Any]:
    if not chat or chat[-1]["role"] != "assistant":
        chat.append({"role": "assistant", "content": []})
    return chat[-1]


def _system(content: Any, place: str) -> str | list[dict[str, Any]]:
    """A system message; with thinking parts it is a template of the caller's own."""
    is_list = isinstance(content, list)
    if not is_list or not any(_kind(part) == "thinking" for part in content):
        return _joined(content, place)
    return [
        part if _kind(part) == "thinking" else {"type": "text", "text": _joined([part], place)}
        for part in content
    ]


def _kind(part: Any) -> Any:
    return part.get("type") if isinstance(part, dict) else None


def _parts(content: Any, kind: str, place: str) -> list[dict[str, Any]]:
    text = _joined(content, place)
    return [{"type": kind, kind: text}] if text else []


def _joined(content: Any, place: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _wrong(place, "content must be a text or a list of parts")
    texts = []
    for part in content:
        kind = _kind(part)
        if kind not in _TEXT_PARTS or not isinstance(part.get("text"), str):
            raise _wrong(place, f"part of type {kind!r} is not supported")
        texts.append(part["text"])
    return "".join(texts)


def _wrong(place: str, what: str) -> ApiError:
    return ApiError(400, f"{place}: {what}.", "invalid_value", place)
