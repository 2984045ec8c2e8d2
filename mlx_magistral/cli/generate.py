"""``mlx-magistral generate``: one prompt in, thinking and answer out."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.cli.options import (
    control_from,
    debug_option,
    model_option,
    sampling_options,
    thinking_options,
)
from mlx_magistral.display import Display, ThinkMode
from mlx_magistral.errors import UsageError
from mlx_magistral.events import FinishReason
from mlx_magistral.hub import NANO
from mlx_magistral.reply import ReplyCollector

if TYPE_CHECKING:
    from mlx_magistral.engine import ReplyStream

_NANO_NOTE = (
    f"No --model given: using {NANO}, a tiny demonstration model. The real one: "
    "mlx-magistral convert mistralai/Magistral-Small-2507 magistral-4bit --bits 4"
)


@click.command()
@click.argument("prompt", required=False)
@model_option
@click.option("--system", "-s", help="System text, added after the official system prompt.")
@click.option("--raw-system", is_flag=True, help="Send --system alone, without the official one.")
@click.option(
    "files",
    "--file",
    "-f",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Append a text file to the prompt; repeatable.",
)
@sampling_options
@thinking_options
@click.option("--max-tokens", type=int, help="Thinking and answer together.  [default: context]")
@click.option(
    "--think",
    type=click.Choice([mode.value for mode in ThinkMode]),
    default=ThinkMode.FULL.value,
    show_default=True,
    help="Show the thinking (on stderr) in full, as one live line, or not at all.",
)
@click.option("--render", is_flag=True, help="Render Markdown on a terminal.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object at the end.")
@debug_option
def command(
    prompt: str | None,
    model: str | None,
    system: str | None,
    raw_system: bool,
    files: tuple[Path, ...],
    max_tokens: int | None,
    think: str,
    render: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Answer PROMPT. Text on stdin is appended to it, or is the prompt.

    The answer goes to stdout and the thinking to stderr, so a pipe gets the answer alone. On a
    terminal Ctrl-C while it thinks makes it answer at once; a second one ends it.

    \b
      mlx-magistral generate "What is 345 + 67?"
      mlx-magistral generate -f notes.txt "Summarize." > summary.md
      cat main.py | mlx-magistral generate --think short "Find the bug."
    """
    messages = [{"role": "user", "content": _whole_prompt(prompt, files)}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    if model is None:
        click.echo(_NANO_NOTE, err=True)

    from mlx_magistral.engine import Magistral

    loaded = Magistral.load(model)
    stream = loaded.stream(
        messages, raw_system=raw_system, max_tokens=max_tokens, **control_from(options)
    )
    display = None
    if not as_json:
        display = Display(sys.stdout, sys.stderr, think=ThinkMode(think), is_rendered=render)
    collector = ReplyCollector(loaded.name)
    with _cancelled_by_ctrl_c(stream):
        _show(stream, display, collector)
    reply = collector.reply()
    if as_json:
        click.echo(json.dumps(reply.to_dict(), ensure_ascii=False))
    return 130 if reply.finish_reason is FinishReason.INTERRUPTED else 0


def _show(stream: "ReplyStream", display: Display | None, collector: ReplyCollector) -> None:
    try:
        for event in stream:
            collector.feed(event)
            if display is not None:
                display.feed(event)
    finally:
        if display is not None:
            display.close()


def _whole_prompt(prompt: str | None, files: tuple[Path, ...]) -> str:
    """The argument, then each file under its name, then stdin, with a blank line between."""
    parts = [prompt or ""]
    parts += [f"{path.name}:\n{_decoded(path.read_bytes(), str(path))}" for path in files]
    parts.append(_piped_stdin())
    text = "\n\n".join(part for part in parts if part.strip())
    if not text:
        raise UsageError(
            'The prompt is empty. Give it as an argument, mlx-magistral generate "…", or on stdin.'
        )
    return text


def _piped_stdin() -> str:
    """What is piped or redirected into stdin; a terminal or /dev/null gives nothing."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    return _decoded(sys.stdin.buffer.read(), "stdin")


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{source} is not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}. "
            "Convert it first, for example with iconv."
        ) from error


@contextmanager
def _cancelled_by_ctrl_c(stream: "ReplyStream") -> Iterator[None]:
    """Ctrl-C ends the reply cleanly, and one more is Python's own.

    At a terminal the first one while it thinks only ends the thinking.
    """
    can_answer_now = sys.stderr.isatty() and sys.stdin is not None and sys.stdin.isatty()

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal can_answer_now
        if can_answer_now and stream.is_thinking:
            can_answer_now = False
            stream.answer_now()
            return
        stream.cancel()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
