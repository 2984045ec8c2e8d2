"""Input items of OpenAI's responses to chat messages."""

import json
from collections.abc import Callable
from typing import Any

from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.protocols.fields import mistral_id
from mlx_magistral.server.protocols.response_tools import ResponseTools, custom_arguments
from mlx_magistral.text.placeholders import result_text
from mlx_magistral.text.tolerance import Note, known_fields, note_in_log

Find = Callable[[Any], dict[str, Any] | None]

_TEXT_PARTS = ("input_text", "output_text", "text", "reasoning_text", "summary_text", "refusal")
_SYSTEM = ("system", "developer")
_ITEM_FIELDS = frozenset(
    "type role content summary id call_id name namespace arguments input output action "
    "tools".split()
)
# What another server's own tools did; what came of it is in the messages.
_PASSED = (
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_list_tools",
    "mcp_approval_request",
    "mcp_approval_response",
    "tool_search_call",
)
_OUTPUTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")


class InputReader:
    """Reads one request's items in order; those of the assistant that touch are one message.

    ``find`` gives the item of an id, where it is remembered. Tools that come as an item are added
    to ``tools``. Raises ApiError at what is not supported.
    """

    def __init__(self, tools: ResponseTools, find: Find, note: Note) -> None:
        self.chat: list[dict[str, Any]] = []
        self._tools = tools
        self._find = find
        self._note = note
        self._calls: set[str] = set()

    def read(self, instructions: str | None, given: str | list[dict[str, Any]]) -> None:
        """Everything into ``chat``."""
        if instructions:
            self.chat.append({"role": "system", "content": instructions})
        if isinstance(given, str):
            self.chat.append({"role": "user", "content": given})
            return
        for index, item in enumerate(given):
            self._item(item, f"input.{index}")

    def _item(self, given: dict[str, Any], place: str) -> None:
        item = known_fields(given, _ITEM_FIELDS, note_in_log, f"{place}.")
        match item.get("type") or "message":
            case "message":
                self._message(item, place)
            case "reasoning":
                thoughts = item.get("content") or item.get("summary") or []
                if text := _joined(thoughts, place):
                    self._assistant()["content"].append({"type": "thinking", "thinking": text})
            case "function_call":
                name = self._tools.offered_name(item.get("name"), item.get("namespace"))
                self._call(item, name, item.get("arguments") or "{}")
            case "custom_tool_call":
                name = self._tools.offered_name(item.get("name"), item.get("namespace"))
                self._call(item, name, custom_arguments(item.get("input")))
            case "local_shell_call":
                self._call(item, "local_shell", json.dumps(item.get("action") or {}))
            case kind if kind in _OUTPUTS:
                self._output(item, place)
            case "item_reference":
                self._reference(item, place)
            case "additional_tools" if isinstance(item.get("tools"), list):
                self._tools.add(item["tools"], f"{place}.tools")
            case kind if kind in _PASSED:
                self._note(f"{place}.{kind}")
            case kind:
                raise _wrong(place, f"item of type {kind!r} is not supported")

    def _message(self, item: dict[str, Any], place: str) -> None:
        role, content = item.get("role"), item.get("content")
        if role == "assistant":
            if text := _joined(content or "", place):
                self._assistant()["content"].append({"type": "text", "text": text})
        elif role in _SYSTEM:
            self.chat.append({"role": "system", "content": _instructions(content, place)})
        else:
            self.chat.append({"role": role, "content": _texts(content, place)})

    def _reference(self, item: dict[str, Any], place: str) -> None:
        found = self._find(item.get("id"))
        if found is None:
            self._note(f"{place}.item_reference")
        else:
            self._item(found, place)

    def _call(self, item: dict[str, Any], name: Any, arguments: Any) -> None:
        call_id = mistral_id(item.get("call_id") or item.get("id"))
        call = {"id": call_id, "type": "function"}
        call["function"] = {"name": name, "arguments": arguments}
        self._calls.add(call_id)
        self._assistant().setdefault("tool_calls", []).append(call)

    def _output(self, item: dict[str, Any], place: str) -> None:
        text = result_text(item.get("output") or "")
        if text is None:
            raise _wrong(f"{place}.output", "must be a text or a list of parts")
        call_id = mistral_id(item.get("call_id") or item.get("id"))
        if call_id in self._calls:
            self.chat.append({"role": "tool", "tool_call_id": call_id, "content": text})
        else:
            # The call was referred to and is forgotten, or was cut off: what came of it is not.
            lost = f"Result of an earlier tool call:\n{text}"
            self.chat.append({"role": "user", "content": lost})

    def _assistant(self) -> dict[str, Any]:
        if not self.chat or self.chat[-1]["role"] != "assistant":
            self.chat.append({"role": "assistant", "content": []})
        return self.chat[-1]


def _instructions(content: Any, place: str) -> str | list[dict[str, Any]]:
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


def _texts(content: Any, place: str) -> str | list[dict[str, Any]]:
    """A user's parts, kept apart: clients send a file or a rule in each."""
    if not isinstance(content, list):
        return _joined(content, place)
    return [{"type": "text", "text": _joined([part], place)} for part in content]


def _joined(content: Any, place: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _wrong(place, "content must be a text or a list of parts")
    texts = []
    for part in content:
        kind = _kind(part)
        text = part.get("refusal" if kind == "refusal" else "text") if kind else None
        if kind not in _TEXT_PARTS or not isinstance(text, str):
            raise _wrong(
                place, f"part of type {kind!r} is not supported: the model reads text only"
            )
        texts.append(text)
    return "".join(texts)


def _wrong(place: str, what: str) -> ApiError:
    return ApiError(400, f"{place}: {what}.", "invalid_value", place)
