"""``mlx-magistral generate``: one prompt in, thinking and answer out."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import click

from mlx_magistral.chat.conversation import Conversation
from mlx_magistral.chat.turns import tool_messages
from mlx_magistral.cli.command_tools import CallMade, CommandTools
from mlx_magistral.cli.layout import echo_json
from mlx_magistral.cli.mcp_tools import AllTools, take_mcp
from mlx_magistral.cli.options import (
    adapter_option,
    control_from,
    debug_option,
    memory_options,
    model_option,
    sampling_options,
    speed_options,
    take_memory,
    thinking_options,
)
from mlx_magistral.cli.prefill_progress import PrefillProgress
from mlx_magistral.cli.prompt_text import whole_prompt
from mlx_magistral.cli.ranks import ranks_options
from mlx_magistral.cli.sections import SectionedCommand
from mlx_magistral.cli.session_options import session_options, take_conversation
from mlx_magistral.cli.structure import read_schema, structure_options
from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import FinishReason, Reply
from mlx_magistral.hub.known_folders import remember_folder
from mlx_magistral.hub.resolve import NANO, named_folder
from mlx_magistral.terminal.display import Display, ThinkMode, can_style
from mlx_magistral.terminal.keys import quiet_keys
from mlx_magistral.terminal.saving import check_target, save_reply

if TYPE_CHECKING:
    from mlx_magistral.engine.magistral import Magistral
    from mlx_magistral.engine.streaming import ReplyStream

_NANO_NOTE = (
    f"No --model given: using {NANO}, a tiny demonstration model. The real one: mlx-magistral pull"
)

_TOOL_ROUNDS = 8


class _Generate(SectionedCommand):
    sections = {
        "Prompt": ["prompt", "model", "adapter", "tokenizer", "system", "raw_system", "files"],
        "Sampling": [
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "repetition_penalty",
            "frequency_penalty",
            "presence_penalty",
            "seed",
        ],
        "Thinking": ["think", "think_budget", "force_think", "think_close", "on_loop"],
        "Structured answers": ["schema", "json_mode"],
        "Tools": ["commands", "yes", "tool_timeout", "mcp", "mcp_tools"],
        "Memory": ["kv_bits", "context_tokens", "reuse_prefixes", "wired_gb", "force"],
        "Speed": ["speculate", "draft"],
        "Several Macs": ["ranks", "hosts", "split"],
        "Session": ["session", "goes_on", "keep_reasoning"],
        "Output": ["max_tokens", "render", "save", "as_json", "is_quiet", "is_verbose"],
    }


@click.command(cls=_Generate)
@click.argument("prompt", required=False)
@model_option
@adapter_option
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
@memory_options
@speed_options
@structure_options
@session_options
@click.option("--max-tokens", type=int, help="Thinking and answer together.  [default: context]")
@click.option(
    "--think",
    type=click.Choice([mode.value for mode in ThinkMode]),
    default=ThinkMode.FULL.value,
    show_default=True,
    help="Show the thinking (on stderr) in full, as one live line, or not at all.",
)
@click.option("--render", is_flag=True, help="Render Markdown on a terminal.")
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the reply with its thinking to a .md, .html or .json file.",
)
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object at the end.")
@click.option("is_quiet", "--quiet", "-q", is_flag=True, help="Nothing on stderr but errors.")
@click.option("is_verbose", "--verbose", "-v", is_flag=True, help="Say the memory plan on stderr.")
@debug_option
@ranks_options
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
    save: Path | None,
    schema: str | None,
    commands: tuple[str, ...],
    yes: bool,
    tool_timeout: float,
    is_quiet: bool,
    is_verbose: bool,
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
    question = whole_prompt(prompt, files)
    conversation, keep_reasoning = take_conversation(options, is_quiet=is_quiet)
    conversation = conversation or Conversation(None)
    if system is not None:
        conversation.set_system(system)
    model = model or conversation.content.model
    on_made = _ignore if is_quiet or as_json else _show_made
    asking: dict[str, Any] = {
        "needs_yes": not yes,
        "can_ask": _can_ask(),
        "timeout_s": tool_timeout,
    }
    own_tools = CommandTools(commands, **asking, on_made=on_made)
    mcp = take_mcp(options, **asking)
    tools = AllTools(own_tools, mcp, on_made)
    memory = take_memory(options)
    if is_quiet:
        memory["on_forced"] = None
    memory |= {name: options.pop(name) for name in ("draft", "adapter", "reader")}
    keywords = control_from({**options, "schema": read_schema(schema)})
    if save is not None:
        check_target(save)
    loaded = _load(model, memory, has_bar=not (as_json or is_quiet), is_quiet=is_quiet)
    if keep_reasoning:
        loaded.memory.allow_rounding()
    if is_verbose:
        plan = loaded.memory.plan.describe()
        click.echo(f"{loaded.name}, loaded in {loaded.load_s:.2f} s: {plan}", err=True)
    if mcp is not None and not is_quiet:
        click.echo(f"{mcp.cost(loaded.tokenizer)}. --mcp-tools chooses.", err=True)
    keywords |= {"raw_system": raw_system, "max_tokens": max_tokens}
    keywords["on_prefill"] = None if is_quiet else PrefillProgress(sys.stderr)
    view = None if as_json else _View(ThinkMode(think), render, is_quiet)
    conversation.ask(question, loaded.name)
    keywords["keep_reasoning"] = keep_reasoning
    reply = _answer(loaded, conversation, tools, keywords, view)
    for note in [*conversation.take_notes(), *loaded.memory.take_notes()]:
        if not is_quiet:
            click.echo(note, err=True)
    if as_json:
        echo_json(reply.to_dict() | _calls_made(tools))
    if reply.tool_calls and not is_quiet:
        click.echo(_calls_note(reply, tools), err=True)
    is_cut = reply.finish_reason is FinishReason.LENGTH and (schema or options["json_mode"])
    if is_cut and not is_quiet:
        click.echo(_length_note(reply.content), err=True)
    if save is not None:
        save_reply(reply, question, save)
    return 130 if reply.finish_reason is FinishReason.INTERRUPTED else 0


def _show_made(made: CallMade) -> None:
    text = made.describe()
    click.echo(click.style(text, dim=True) if can_style(sys.stderr) else text, err=True)


def _ignore(made: CallMade) -> None:
    pass


def _calls_made(tools: AllTools) -> dict[str, Any]:
    """What ``--json`` says of the calls before the answer, where there were any."""
    return {"calls_made": [made.to_dict() for made in tools.made]} if tools.made else {}


def _calls_note(reply: Reply, tools: AllTools) -> str:
    """Why a reply that calls tools is the last one."""
    if tools.tools:
        return f"It went on calling tools, and was ended after {_TOOL_ROUNDS} rounds."
    names = ", ".join(call.name for call in reply.tool_calls)
    return f"The model called {names}, and has no tool here. Give it one: --tool NAME=COMMAND."


def _length_note(content: str | None) -> str:
    """What --max-tokens did to an answer in JSON."""
    try:
        json.loads(content or "")
    except ValueError:
        return "The JSON is not complete: --max-tokens ended it."
    return "The JSON is whole, but shorter than the model wanted: --max-tokens ended it."


def _load(
    model: str | None, memory: dict[str, Any], *, has_bar: bool, is_quiet: bool
) -> "Magistral":
    """The model, fetched first where it is a hub id that is not here yet."""
    if model is None and not is_quiet:
        click.echo(_NANO_NOTE, err=True)

    from mlx_magistral.cli.fetching import fetch_model
    from mlx_magistral.engine.magistral import Magistral

    if model is not None:
        fetch_model(
            model,
            must_fit=memory["reader"] is None and not memory["force"],
            is_shown=has_bar,
            tokenizer=memory.get("tokenizer"),
        )
    loaded = Magistral.load(model, **memory)
    if model is not None and (folder := named_folder(model)) is not None:
        remember_folder(folder)
    if loaded.memory.note is not None and not is_quiet:
        click.echo(loaded.memory.note, err=True)
    return loaded


@dataclass(frozen=True)
class _View:
    """How a reply is shown."""

    think: ThinkMode
    is_rendered: bool
    is_quiet: bool


def _answer(
    loaded: "Magistral",
    conversation: Conversation,
    tools: AllTools,
    keywords: dict[str, Any],
    view: _View | None,
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
                answers_now=_can_ask(),
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


def _can_ask() -> bool:
    """Whether somebody sits at a terminal, to read and to type."""
    return sys.stderr.isatty() and sys.stdin is not None and sys.stdin.isatty()


def _keyboard() -> TextIO | None:
    """A stream of the terminal that Ctrl-C is typed at, if there is one."""
    streams = (sys.stdin, sys.stderr, sys.stdout)
    return next((each for each in streams if each is not None and each.isatty()), None)


@contextmanager
def _cancelled_by_ctrl_c(stream: "ReplyStream", display: Display | None) -> Iterator[None]:
    """Ctrl-C ends the reply cleanly, and one more is Python's own.

    At a terminal the first one while it thinks only ends the thinking.
    """
    can_answer_now = _can_ask()

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
