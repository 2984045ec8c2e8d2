"""A reply with its reasoning as a file: Markdown, HTML with the thinking folded, or JSON."""

import html
import json
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
<footer>{footer}</footer>
</html>
"""


def check_target(path: Path) -> None:
    """Raise UsageError, before anything is computed, if a reply could not be saved there."""
    if path.suffix not in (".md", ".html", ".json"):
        raise UsageError(f"--save writes .md, .html or .json, not {path.name!r}.")
    if not path.parent.is_dir():
        raise UsageError(f"--save: there is no folder {path.parent}.")


def save_reply(reply: Reply, question: str, path: Path) -> None:
    """Write the reply to ``path`` in the format of its ending."""
    match path.suffix:
        case ".json":
            document = {"question": question, **reply.to_dict()}
            text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        case ".html":
            text = _as_html(reply, question)
        case _:
            text = _as_markdown(reply, question)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MagistralError(f"{path} cannot be written: {error.strerror}.") from error


def _as_markdown(reply: Reply, question: str) -> str:
    parts = [_quoted(question)]
    if reply.reasoning is not None:
        parts.append(f"## Thinking\n\n{_quoted(reply.reasoning.strip())}\n\n## Answer")
    parts += [reply.content] if reply.content else []
    parts += [f"Tool call: `{call.name}` `{call.arguments}`" for call in reply.tool_calls]
    return "\n\n".join([*parts, f"*{_summary(reply)}*"]) + "\n"


def _as_html(reply: Reply, question: str) -> str:
    parts = []
    if reply.reasoning is not None:
        tokens = reply.usage.reasoning_tokens
        parts.append(f"<details><summary>Thinking, {tokens} tokens</summary>")
        parts.append(f"<pre>{html.escape(reply.reasoning)}</pre></details>")
    if reply.content:
        parts.append(f"<pre>{html.escape(reply.content)}</pre>")
    for call in reply.tool_calls:
        parts.append(f"<p>Tool call: <code>{html.escape(f'{call.name} {call.arguments}')}</code>")
    footer = html.escape(_summary(reply))
    return _PAGE.format(title=html.escape(question), body="\n".join(parts), footer=footer)


def _summary(reply: Reply) -> str:
    usage = reply.usage
    limit = f" ({reply.limit})" if reply.limit else ""
    return (
        f"{reply.model}: {usage.reasoning_tokens} tokens of thinking, "
        f"{usage.answer_tokens} of answer, "
        f"{reply.timings.decode_tps:.1f} tok/s, ended by {reply.finish_reason}{limit}"
    )


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())
