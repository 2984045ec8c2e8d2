"""The replies of ``generate``, shown as they come, with the commands that they call in between."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import click

from mlx_magistral.chat.conversation import Conversation
from mlx_magistral.chat.turns import tool_messages
from mlx_magistral.cli.command_tools import CallMade
from mlx_magistral.cli.mcp_tools import AllTools
from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import FinishReason, Reply
from mlx_magistral.terminal.display import Display, ThinkMode, can_style
from mlx_magistral.terminal.keys import quiet_keys

if TYPE_CHECKING:
    from mlx_magistral.engine.magistral import Magistral
    from mlx_magistral.engine.streaming import ReplyStream

_TOOL_ROUNDS = 8


@dataclass(frozen=True)
class View:
    """How a reply is shown."""

    think: ThinkMode
    is_rendered: bool
    is_quiet: bool


def answer(
    loaded: "Magistral",
    conversation: Conversation,
    tools: AllTools,
    keywords: dict[str, Any],
    view: View | None,
) -> Reply:
    """Show replies, running the commands they call in between, until one is the answer."""
    keep_reasoning = keywords.pop("keep_reasoning")
    for left in range(_TOOL_ROUNDS, -1, -1):
        messages = conversation.prompt(keep_reasoning=keep_reasoning)
        stream = loaded.stream(messages, tools=tools.schemas, **keywords)
        display = None
        if view is not None:
            display = Display(
                sys.stdout,
                sys.stderr,
                think=view.think,
                is_rendered=view.is_rendered,
                is_quiet=view.is_quiet,
                answers_now=_is_watched(),
            )
        collector = ReplyCollector(loaded.name)
        with quiet_keys(_keyboard()), _cancelled_by_ctrl_c(stream, display):
            _show(stream, display, collector)
        reply = collector.reply()
        conversation.add_reply(reply)
        if left == 0 or not tools.tools or reply.finish_reason is not FinishReason.TOOL_CALLS:
            break
        conversation.add_results(tool_messages(reply, tools.run))
    return reply


def _show(stream: "ReplyStream", display: Display | None, collector: ReplyCollector) -> None:
    try:
        for event in stream:
            collector.feed(event)
            if display is not None:
                display.feed(event)
    finally:
        if display is not None:
            display.close()


def can_ask() -> bool:
    """Whether somebody sits at a terminal, to read and to type."""
    return sys.stderr.isatty() and sys.stdin is not None and sys.stdin.isatty()


def _is_watched() -> bool:
    """Whether somebody sees the thinking; the prompt may come from a pipe."""
    return sys.stderr.isatty()


def _keyboard() -> TextIO | None:
    """A stream of the terminal that Ctrl-C is typed at, if there is one."""
    streams = (sys.stdin, sys.stderr, sys.stdout)
    return next((each for each in streams if each is not None and each.isatty()), None)


@contextmanager
def _cancelled_by_ctrl_c(stream: "ReplyStream", display: Display | None) -> Iterator[None]:
    """Ctrl-C ends the reply cleanly, and one more is Python's own.

    At a terminal the first one while it thinks only ends the thinking.
    """
    can_answer_now = _is_watched()

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal can_answer_now
        if display is not None:
            display.interrupted()
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


def show_made(made: CallMade) -> None:
    """What came of a call, on stderr."""
    text = made.describe()
    click.echo(click.style(text, dim=True) if can_style(sys.stderr) else text, err=True)


def calls_note(reply: Reply, tools: AllTools) -> str:
    """Why a reply that calls tools is the last one."""
    if tools.tools:
        return f"It went on calling tools, and was ended after {_TOOL_ROUNDS} rounds."
    names = ", ".join(call.name for call in reply.tool_calls)
    return f"The model called {names}, and has no tool here. Give it one: --tool NAME=COMMAND."
