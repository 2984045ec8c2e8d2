"""``mlx-magistral generate``: one prompt in, thinking and answer out."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.chat.conversation import Conversation
from mlx_magistral.cli.answering import View, answer, calls_note, can_ask, show_made
from mlx_magistral.cli.command_tools import CommandTools
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
from mlx_magistral.cli.prompt_text import quoted_command, whole_prompt
from mlx_magistral.cli.ranks import ranks_options
from mlx_magistral.cli.sections import SectionedCommand
from mlx_magistral.cli.session_options import session_options, take_conversation
from mlx_magistral.cli.structure import read_schema, structure_options
from mlx_magistral.events import FinishReason, Reply
from mlx_magistral.hub.known_folders import remember_folder
from mlx_magistral.hub.resolve import NANO, named_folder
from mlx_magistral.terminal.display import ThinkMode
from mlx_magistral.terminal.saving import check_target, save_reply

if TYPE_CHECKING:
    from mlx_magistral.engine.magistral import Magistral

_NANO_NOTE = (
    f"No --model given: using {NANO}, a tiny demonstration model. The real one: mlx-magistral pull"
)


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

    # More words than one are no usage error of click's, but one with the mended line.
    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            words = [ctx.params["prompt"], *ctx.args]
            ctx.fail(f"The prompt is one argument. Quote it: {quoted_command(words)}")
        return ctx.args


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
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Append a text file to the prompt, - for stdin; repeatable.",
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
    asking = {"needs_yes": not yes, "can_ask": can_ask(), "timeout_s": tool_timeout}
    tools = _tools(commands, options, asking, is_shown=not (is_quiet or as_json))
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
    if not is_quiet:
        _echo_loaded(loaded, tools, is_verbose=is_verbose)
        keywords["on_prefill"] = PrefillProgress(sys.stderr)
    keywords |= {"raw_system": raw_system, "max_tokens": max_tokens}
    keywords["keep_reasoning"] = keep_reasoning
    view = None if as_json else View(ThinkMode(think), render, is_quiet)
    conversation.ask(question, loaded.name)
    reply = answer(loaded, conversation, tools, keywords, view)
    if as_json:
        made = [each.to_dict() for each in tools.made]
        echo_json(reply.to_dict() | ({"calls_made": made} if made else {}))
    if not is_quiet:
        notes = [*conversation.take_notes(), *loaded.memory.take_notes()]
        _echo_notes(reply, tools, notes, is_json=bool(schema or options["json_mode"]))
    if save is not None:
        save_reply(reply, question, save)
    return 130 if reply.finish_reason is FinishReason.INTERRUPTED else 0


def _tools(
    commands: tuple[str, ...], options: dict[str, Any], asking: dict[str, Any], *, is_shown: bool
) -> AllTools:
    """The commands and the MCP servers that were named; what they did is shown as it happens."""
    on_made = show_made if is_shown else lambda made: None
    own_tools = CommandTools(commands, **asking, on_made=on_made)
    return AllTools(own_tools, take_mcp(options, **asking), on_made)


def _echo_loaded(model: "Magistral", tools: AllTools, *, is_verbose: bool) -> None:
    """Where it was asked for, the memory plan; and what tools of servers cost."""
    if is_verbose:
        plan = model.memory.plan.describe()
        click.echo(f"{model.name}, loaded in {model.load_s:.2f} s: {plan}", err=True)
    if tools.mcp is not None:
        click.echo(f"{tools.mcp.cost(model.tokenizer)}. --mcp-tools chooses.", err=True)


def _echo_notes(reply: Reply, tools: AllTools, notes: list[str], *, is_json: bool) -> None:
    """What the reader should know beside the answer."""
    if reply.tool_calls:
        notes.append(calls_note(reply, tools))
    if is_json and reply.finish_reason is FinishReason.LENGTH:
        notes.append(_length_note(reply.content))
    for note in notes:
        click.echo(note, err=True)


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
