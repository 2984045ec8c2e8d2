"""Replies with their reasoning as a file: Markdown, HTML with the thinking folded, or JSON."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlx_magistral.errors import MagistralError, UsageError
from mlx_magistral.events import Reply

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ max-width: 46em; margin: 2em auto; padding: 0 1em; font: 1em/1.5 sans-serif }}
pre {{ white-space: pre-wrap; font: inherit }}
details, footer {{ color: #666 }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


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
        body = "\n".join(_as_html(each, with_question=len(exchanges) > 1) for each in exchanges)
        write_text(path, _PAGE.format(title=html.escape(title), body=body))
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


def _as_html(exchange: Exchange, *, with_question: bool) -> str:
    parts = [f"<h2>{html.escape(exchange.question)}</h2>"] if with_question else []
    for reply in exchange.replies:
        if reply.reasoning is not None:
            tokens = reply.usage.reasoning_tokens
            parts.append(f"<details><summary>Thinking, {tokens} tokens</summary>")
            parts.append(f"<pre>{html.escape(reply.reasoning)}</pre></details>")
        if reply.content:
            parts.append(f"<pre>{html.escape(reply.content)}</pre>")
        for call in reply.tool_calls:
            called = html.escape(f"{call.name} {call.arguments}")
            parts.append(f"<p>Tool call: <code>{called}</code>")
            if call.id in exchange.results:
                parts.append(f"<pre>{html.escape(exchange.results[call.id])}</pre>")
        parts.append(f"<footer>{html.escape(_summary(reply))}</footer>")
    return "\n".join(parts)


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
