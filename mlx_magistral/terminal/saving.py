"""Replies with their reasoning as a file: Markdown, HTML with the thinking folded, or JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlx_magistral.errors import MagistralError, UsageError
from mlx_magistral.events import Reply, ToolCall
from mlx_magistral.terminal.saved_page import saved_page


@dataclass
class Exchange:
    """A question, the replies to it, and what the tools they called answered, by call id."""

    question: str
    replies: list[Reply] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)


def check_target(path: Path, what: str = "--save") -> None:
    """Raise UsageError, before anything is computed, if a reply could not be saved there."""
    if path.suffix not in (".md", ".html", ".json"):
        raise UsageError(f"{what} writes .md, .html or .json, not {path.name!r}.")
    if not path.parent.is_dir():
        raise UsageError(f"{what}: there is no folder {path.parent}.")


def save_reply(reply: Reply, question: str, path: Path) -> None:
    """Write the reply to ``path`` in the format of its ending."""
    if path.suffix == ".json":
        document = {"question": question, **reply.to_dict()}
        write_text(path, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    else:
        save_exchanges([Exchange(question, [reply])], question, path)


def save_exchanges(exchanges: Sequence[Exchange], title: str, path: Path) -> None:
    """Write several as Markdown or HTML, by the ending."""
    if path.suffix == ".html":
        messages = [message for each in exchanges for message in _as_messages(each)]
        write_text(path, saved_page(title, messages, as_markdown(exchanges)))
    else:
        write_text(path, as_markdown(exchanges))


def as_markdown(exchanges: Sequence[Exchange]) -> str:
    """Questions quoted, then each reply with its thinking."""
    return "\n\n".join(_as_markdown(each) for each in exchanges) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a file that a user named; raises MagistralError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MagistralError(f"{path} cannot be written: {error.strerror}.") from error


def _as_markdown(exchange: Exchange) -> str:
    parts = [_quoted(exchange.question)]
    for reply in exchange.replies:
        if reply.reasoning is not None:
            parts.append(f"## Thinking\n\n{_quoted(reply.reasoning.strip())}\n\n## Answer")
        parts += [reply.content] if reply.content else []
        for call in reply.tool_calls:
            result = exchange.results.get(call.id)
            parts.append(
                f"Tool call: `{call.name}` `{call.arguments}`"
                + ("" if result is None else f"\n\n{_quoted(result)}")
            )
        parts.append(f"*{_summary(reply)}*")
    return "\n\n".join(parts)


def _as_messages(exchange: Exchange) -> list[dict[str, Any]]:
    """The question and its replies as the chat page keeps them."""
    question = {"role": "user", "content": exchange.question}
    return [question, *(_as_message(each, exchange.results) for each in exchange.replies)]


def _as_message(reply: Reply, results: dict[str, str]) -> dict[str, Any]:
    usage, timings = reply.usage, reply.timings
    decode_s = (usage.completion_tokens - 1) / timings.decode_tps if timings.decode_tps else 0.0
    return {
        "role": "assistant",
        "reasoning": reply.reasoning or "",
        "content": reply.content or "",
        "calls": [_as_call(call, results) for call in reply.tool_calls],
        "finish": reply.finish_reason.value,
        "model": reply.model,
        "figures": {
            "seconds": timings.ttft_s + decode_s,
            "tokens": usage.completion_tokens,
            "rate": timings.decode_tps,
            "thinkSeconds": timings.reasoning_s,
            "thinkTokens": usage.reasoning_tokens,
        },
    }


def _as_call(call: ToolCall, results: dict[str, str]) -> dict[str, str]:
    described = {"name": call.name, "arguments": call.arguments}
    return {**described, "result": results[call.id]} if call.id in results else described


def _summary(reply: Reply) -> str:
    usage = reply.usage
    limit = f" ({reply.limit})" if reply.limit else ""
    return (
        f"{reply.model}: {usage.reasoning_tokens} tokens of thinking, "
        f"{usage.answer_tokens} of answer, {reply.timings.decode_tps:.1f} tok/s, "
        f"ended by {reply.finish_reason}{limit}"
    )


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())
