"""A session as a file to read or to pass on: Markdown, HTML or JSON."""

import json
from pathlib import Path
from typing import Any

from mlx_magistral.chat.session import SessionContent
from mlx_magistral.events import FinishReason, Limit, Reply, Timings, ToolCall, Usage
from mlx_magistral.terminal.saving import Exchange, check_target, save_exchanges, write_text


def export_session(content: SessionContent, path: Path) -> None:
    """Write the conversation in the format of the path's ending; raises MagistralError."""
    check_target(path, "The export")
    if path.suffix == ".json":
        document = session_document(content)
        write_text(path, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    else:
        save_exchanges(exchanges(content), content.title or content.id, path)


def session_document(content: SessionContent) -> dict[str, Any]:
    """The conversation for JSON."""
    facts = {"id": content.id, "created": content.created, "model": content.model}
    return {**facts, "system": content.system, "messages": content.messages}


def exchanges(content: SessionContent) -> list[Exchange]:
    """The turns as saving.py takes them."""
    found: list[Exchange] = []
    for message, figures in zip(content.messages, content.figures, strict=True):
        if message["role"] == "user":
            found.append(Exchange(str(message["content"])))
        elif not found:
            continue
        elif message["role"] == "assistant":
            found[-1].replies.append(_as_reply(message, figures, content.model))
        elif message["role"] == "tool":
            found[-1].results[str(message["tool_call_id"])] = str(message["content"])
    return found


def _as_reply(message: dict[str, Any], figures: dict[str, Any] | None, model: str | None) -> Reply:
    """The reply that a message was; figures that were not kept are zeros."""
    known = figures or {}
    calls = [
        ToolCall(each["id"], each["function"]["name"], each["function"]["arguments"])
        for each in message.get("tool_calls", ())
    ]
    return Reply(
        model=str(known.get("model") or model or "?"),
        reasoning=message.get("reasoning"),
        content=message.get("content"),
        finish_reason=FinishReason(known.get("finish_reason", "stop")),
        usage=Usage(
            **known.get(
                "usage", {"prompt_tokens": 0, "completion_tokens": 0, "reasoning_tokens": 0}
            )
        ),
        timings=Timings(**known.get("timings", dict.fromkeys(Timings.__dataclass_fields__, 0))),
        tool_calls=calls,
        limit=Limit(known["limit"]) if known.get("limit") else None,
    )
