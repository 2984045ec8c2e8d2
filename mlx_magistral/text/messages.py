"""A caller's messages and tools, OpenAI dicts or mistral-common objects, to mistral-common's.

Every error names the message by its place in the list. What mistral-common would drop in silence
is refused here where the model should have seen it (a part that is no text), and left out where it
says nothing to the model (tolerance.py). Imports mistral_common.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct.chunk import TextChunk, ThinkChunk
from mistral_common.protocol.instruct.messages import (
    AssistantMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from mistral_common.protocol.instruct.tool_calls import Tool
from pydantic import ValidationError

from mlx_magistral.errors import PromptError, UnsupportedFieldError
from mlx_magistral.options import require_messages
from mlx_magistral.text.json_schema import modern_schema
from mlx_magistral.text.placeholders import result_text
from mlx_magistral.text.tolerance import known_fields, note_in_log

ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage

# What mistral-common, pydantic and tiktoken raise at input that they do not accept. Several are
# bare Python errors: an assert for an image, a ValueError from the regex engine.
LIBRARY_ERRORS = (
    MistralCommonException,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    AssertionError,
    RecursionError,
)

_CLASSES: dict[str, type[ChatMessage]] = {
    "system": SystemMessage,
    "developer": SystemMessage,
    "user": UserMessage,
    "assistant": AssistantMessage,
    "tool": ToolMessage,
}
_FIELDS = {
    SystemMessage: {"content"},
    UserMessage: {"content"},
    AssistantMessage: {
        *("content", "reasoning", "reasoning_content", "thinking", "refusal"),
        *("tool_calls", "prefix"),
    },
    ToolMessage: {"content", "tool_call_id", "name"},
}
_REQUIRED_FIELDS = {
    SystemMessage: ("content",),
    UserMessage: ("content",),
    AssistantMessage: (),
    ToolMessage: ("tool_call_id",),
}


def to_messages(messages: str | Sequence[Any]) -> list[ChatMessage]:
    """The same conversation in mistral-common's classes; a text is one user message."""
    if isinstance(messages, str):
        return [UserMessage(content=messages)]
    require_messages(messages)
    speakers = _speakers(messages)
    return [_to_message(message, index, speakers) for index, message in enumerate(messages)]


def is_prefix(message: ChatMessage) -> bool:
    """Whether the message is the beginning of a reply that the model goes on with."""
    return isinstance(message, AssistantMessage) and message.prefix


def to_tools(tools: Sequence[Any] | None) -> list[Tool] | None:
    """The same tools in mistral-common's class; no tools at all is None."""
    if isinstance(tools, Mapping | str):
        raise PromptError(f"Tools must be a list of tools, not {type(tools).__name__}.")
    converted = []
    for index, tool in enumerate(tools or ()):
        try:
            converted.append(tool if isinstance(tool, Tool) else Tool.from_openai(_modern(tool)))
        except LIBRARY_ERRORS as error:
            raise PromptError(
                f"tools[{index}] is no function tool: {explain(error)}. It must be "
                '{"type": "function", "function": {"name", "description", "parameters"}}.'
            ) from error
    return converted or None


def _modern(tool: Any) -> Any:
    """The tool with its parameters in the words of today's JSON Schema."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or "parameters" not in function:
        return tool
    return {**tool, "function": {**function, "parameters": modern_schema(function["parameters"])}}


def chunks_of(message: ChatMessage) -> list[TextChunk | ThinkChunk]:
    """The content as chunks, a plain text as one of them."""
    if not message.content:
        return []
    if isinstance(message.content, str):
        return [TextChunk(text=message.content)]
    return [chunk for chunk in message.content if isinstance(chunk, TextChunk | ThinkChunk)]


def explain(error: BaseException) -> str:
    """What a library's error says, on one line and without its full stop."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        text = f"{place}: {what}" if place else what
    elif isinstance(error, KeyError):
        text = f"{error} is missing"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")


def _speakers(messages: Sequence[Any]) -> frozenset[str]:
    """The names of a group chat's users; none where all the users' messages are of one name.

    Frameworks give every message a name, and one name says nothing to the model. Where there are
    several, who speaks is a part of what is said.
    """
    names = {
        message["name"]
        for message in messages
        if isinstance(message, Mapping)
        and message.get("role") == "user"
        and isinstance(message.get("name"), str)
    }
    return frozenset(names) if len(names) > 1 else frozenset()


def _to_message(message: Any, index: int, speakers: frozenset[str]) -> ChatMessage:
    try:
        if isinstance(message, ChatMessage):
            converted: ChatMessage = message
        elif isinstance(message, Mapping):
            converted = _from_openai(message, speakers)
        else:
            raise PromptError(
                f"it is of type {type(message).__name__}, not a dict or a mistral-common message"
            )
        _require_text(converted)
        return converted
    except (PromptError, *LIBRARY_ERRORS) as error:
        role = getattr(message, "role", None)
        if isinstance(message, Mapping):
            role = message.get("role")
        place = f"messages[{index}]" + (f" ({role})" if role else "")
        if isinstance(error, UnsupportedFieldError):
            raise UnsupportedFieldError(error.field, place) from error
        raise PromptError(f"{place}: {explain(error)}.") from error


def _from_openai(message: Mapping[str, Any], speakers: frozenset[str]) -> ChatMessage:
    """An OpenAI dict to a message; raises PromptError without the message's place."""
    role = message.get("role")
    if role not in _CLASSES:
        raise PromptError(f"role {role!r} is none of {', '.join(_CLASSES)}")
    message_class = _CLASSES[role]
    known = {"role", *_FIELDS[message_class]}
    given = known_fields(message, known, note_in_log)
    # SDKs dump every field they know; those that say nothing are as good as absent.
    fields = {key: value for key, value in given.items() if value not in (False, [])}
    for field in _REQUIRED_FIELDS[message_class]:
        if field not in fields:
            raise PromptError(f"{field} is missing")
    if (content := _content(fields, message_class)) or message_class is not AssistantMessage:
        fields["content"] = content
    if message_class is UserMessage and message.get("name") in speakers:
        fields["content"] = _spoken_by(message["name"], fields["content"])
    fields["role"] = "system" if role == "developer" else role
    is_prefix = fields.pop("prefix", False)
    if message_class is AssistantMessage:
        fields = _with_reasoning(fields)
    converted = message_class.from_openai(fields)
    if is_prefix and isinstance(converted, AssistantMessage):
        return _to_prefix(converted, fields)
    return converted


def _content(fields: dict[str, Any], message_class: type[ChatMessage]) -> Any:
    """The content as mistral-common takes it; a tool's result is one text, whatever it holds."""
    content = fields.get("content", fields.pop("refusal", None) or "")
    if message_class is ToolMessage and isinstance(content, list):
        return result_text(content)
    if isinstance(content, list):
        return [_plain_part(part) for part in content]
    if not isinstance(content, str):
        raise PromptError(
            f"content is of type {type(content).__name__}, not a text or a list of parts"
        )
    return content


def _spoken_by(name: str, content: Any) -> Any:
    if isinstance(content, str):
        return f"{name}: {content}"
    return [{"type": "text", "text": f"{name}:"}, *content]


def _with_reasoning(fields: dict[str, Any]) -> dict[str, Any]:
    """With Ollama's word for it as one of ours, and without reasoning that is empty.

    mistral-common would write an empty think block, which teaches the model not to think.
    """
    fields.pop("refusal", None)
    thinking = fields.pop("thinking", "")
    if thinking and not fields.keys() & {"reasoning", "reasoning_content"}:
        fields["reasoning"] = thinking
    empty = [name for name in ("reasoning", "reasoning_content") if fields.get(name) == ""]
    return {key: value for key, value in fields.items() if key not in empty}


def _to_prefix(message: AssistantMessage, fields: Mapping[str, Any]) -> AssistantMessage:
    """The beginning of a reply to be gone on with; a ``reasoning`` field alone is left open."""
    chunks = chunks_of(message)
    if chunks and "content" not in fields and isinstance(chunks[-1], ThinkChunk):
        chunks[-1] = ThinkChunk(thinking=chunks[-1].thinking, closed=False)
    return AssistantMessage(content=[*chunks] or None, tool_calls=message.tool_calls, prefix=True)


def _plain_part(part: Any) -> dict[str, Any]:
    """A content part as mistral-common reads it: the hosted API's list of thoughts as one text."""
    if isinstance(part, TextChunk | ThinkChunk):
        return part.model_dump()
    if not isinstance(part, Mapping):
        raise PromptError(f"a content part is of type {type(part).__name__}, not a dict")
    if part.get("type") == "refusal":
        return {"type": "text", "text": part.get("refusal")}
    if part.get("type") in ("input_text", "output_text"):
        return {"type": "text", "text": part.get("text")}
    if part.get("type") not in ("text", "thinking"):
        raise PromptError(
            f"content part of type {part.get('type')!r} is not supported: the model reads text only"
        )
    thinking = part.get("thinking")
    if isinstance(thinking, list):
        return {**part, "thinking": "".join(piece["text"] for piece in thinking)}
    return dict(part)


def _require_text(message: ChatMessage) -> None:
    if isinstance(message.content, list):
        for chunk in message.content:
            if not isinstance(chunk, TextChunk | ThinkChunk):
                raise PromptError(
                    f"{type(chunk).__name__} is not supported: the model reads text only"
                )
