"""``mlx-magistral chat``: a conversation on the terminal."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.chat.conversation import Conversation
from mlx_magistral.chat.sessions import SessionStore, data_folder
from mlx_magistral.cli.command_tools import CallMade, CommandTools
from mlx_magistral.cli.mcp_tools import AllTools, McpTools, take_mcp
from mlx_magistral.cli.options import (
    adapter_option,
    control_from,
    debug_option,
    memory_options,
    model_option,
    sampling_options,
    take_memory,
    thinking_options,
)
from mlx_magistral.cli.ranks import ranks_options
from mlx_magistral.cli.session_options import open_conversation, session_options
from mlx_magistral.cli.structure import tool_options
from mlx_magistral.errors import ModelNotFoundError
from mlx_magistral.terminal.display import ThinkMode

if TYPE_CHECKING:
    from mlx_magistral.chat.chat import Chat
    from mlx_magistral.chat.screen import Screen
    from mlx_magistral.chat.settings import ChatSettings
    from mlx_magistral.engine.magistral import Magistral


@click.command()
@model_option
@adapter_option
@click.option("--system", "-s", help="System text, added after the official system prompt.")
@click.option(
    "files",
    "--file",
    "-f",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Attach a text file to the first message; repeatable.",
)
@tool_options
@session_options
@click.option("--no-log", is_flag=True, help="Write nothing: no session, no history, no prefixes.")
@sampling_options
@thinking_options
@memory_options
@click.option("--max-tokens", type=int, help="Thinking and answer together.  [default: context]")
@click.option(
    "--think",
    type=click.Choice([mode.value for mode in ThinkMode]),
    default=ThinkMode.FULL.value,
    show_default=True,
    help="Show the thinking as it comes, as one live line, or not at all.",
)
@debug_option
@ranks_options
def command(
    model: str | None,
    system: str | None,
    files: tuple[Path, ...],
    commands: tuple[str, ...],
    yes: bool,
    tool_timeout: float,
    session: str | None,
    goes_on: bool,
    keep_reasoning: bool,
    no_log: bool,
    think: str,
    **options: Any,
) -> None:
    """Chat with a model; /help in it lists the commands, Ctrl-D leaves.

    Conversations are saved as they happen. Ctrl-C while it thinks makes it answer, and a second one
    ends the reply. Where stdin is no terminal each line of it is a message.

    \b
      mlx-magistral chat -m magistral-4bit
      mlx-magistral chat --continue
      mlx-magistral chat --no-log --think short
    """
    from mlx_magistral.chat.screen import Screen
    from mlx_magistral.chat.settings import ChatSettings

    conversation, notes = _conversation(session, goes_on, no_log)
    click.get_current_context().call_on_close(conversation.close)
    if system is not None:
        conversation.set_system(system)
    memory = take_memory(options)
    memory["reuse_prefixes"] &= not no_log
    first = model or conversation.content.model
    load = _loader(memory, first, options.pop("adapter"), keep_reasoning=keep_reasoning)
    memory["reader"] = options.pop("reader")

    screen = Screen()
    can_ask = sys.stdin.isatty()
    asking: dict[str, Any] = {"needs_yes": not yes, "can_ask": can_ask, "timeout_s": tool_timeout}
    mcp = take_mcp(options, **asking)
    make_tools = _tool_maker(screen, mcp, asking)
    make_tools(commands)  # what is wrong with them is said before anything is loaded
    settings = ChatSettings(
        first,
        load,
        make_tools,
        mcp=mcp,
        think=ThinkMode(think),
        keep_reasoning=keep_reasoning,
        is_logged=not no_log,
        options=control_from(options),
        tool_texts=commands,
        files=list(files),
    )
    must_fit = memory["reader"] is None
    _require_model(
        settings.model, memory["tokenizer"], is_named=model is not None, must_fit=must_fit
    )
    _run(settings, screen, conversation, notes)


def _loader(
    memory: dict[str, Any], first: str | None, adapter: str | None, *, keep_reasoning: bool
) -> Callable[[str | None], "Magistral"]:
    """What loads the first model, with its adapter, and each that /model names, without."""

    def load(name: str | None) -> "Magistral":
        from mlx_magistral.engine.magistral import Magistral

        loaded = Magistral.load(name, **memory, adapter=adapter if name == first else None)
        if keep_reasoning:
            loaded.memory.allow_rounding()
        return loaded

    return load


def _tool_maker(
    screen: "Screen", mcp: McpTools | None, asking: dict[str, Any]
) -> Callable[[tuple[str, ...]], AllTools]:
    """What makes tools of --tool's and /tool's texts, and shows what came of each call."""

    def show(made: CallMade) -> None:
        screen.note(made.describe())

    def make(texts: tuple[str, ...]) -> AllTools:
        return AllTools(CommandTools(texts, **asking, on_made=show), mcp, show)

    return make


def _require_model(
    name: str | None, tokenizer: str | None, *, is_named: bool, must_fit: bool
) -> None:
    """Fetch a hub id that is not here, and refuse a name of no model before the first message."""
    if name is None:
        return
    from mlx_magistral.cli.fetching import fetch_named

    try:
        fetch_named(name, tokenizer, must_fit=must_fit)
    except ModelNotFoundError as error:
        if is_named:
            raise
        raise ModelNotFoundError(
            f"The session's model is gone. {error} To go on with another: --model NAME."
        ) from error


def _conversation(
    session: str | None, goes_on: bool, no_log: bool
) -> tuple[Conversation, list[str]]:
    if no_log:
        if session is not None or goes_on:
            raise click.UsageError("--no-log writes nothing, so it goes on with no session.")
        return Conversation(None), []
    conversation, notes = open_conversation(SessionStore(), session, goes_on=goes_on)
    if session is not None and not conversation.turns:
        notes = [f"New session {session}.", *notes]
    return conversation, notes


def _run(
    settings: "ChatSettings", screen: "Screen", conversation: Conversation, notes: list[str]
) -> None:
    from mlx_magistral.chat.chat import Chat
    from mlx_magistral.chat.history import show_last_turns
    from mlx_magistral.chat.repl import PlainReader, Reader, run_chat
    from mlx_magistral.chat.worker import ModelThread

    seen = "kept" if settings.keep_reasoning else "dropped"
    if sys.stdin.isatty():
        name = settings.model or "nano, a demonstration model"
        saved = "" if settings.is_logged else " Nothing is written."
        screen.note(f"{name}. Earlier thoughts are {seen}.{saved} /help, Ctrl-D leaves.")
    for note in notes:
        screen.note(note)
    chat = Chat(settings, screen, ModelThread(), conversation)
    if conversation.turns:
        show_last_turns(chat)
    reader: Reader = PlainReader()
    if screen.is_live:
        from mlx_magistral.chat.prompt import PromptReader
        from mlx_magistral.chat.status import status_line

        reader = PromptReader(
            data_folder() / "chat_history" if settings.is_logged else None,
            lambda columns: status_line(chat, columns),
            lambda: [each.id for each in chat.store.search()],
            chat.thread.prepare,  # importing mlx before the prompt is there would delay it
        )
    run_chat(chat, reader)
    _leave(chat)


def _leave(chat: "Chat") -> None:
    """Tell where the conversation is, and go, also while a model is still being read."""
    if chat.conversation.id is not None and sys.stdin.isatty():
        chat.screen.note(f"Session {chat.conversation.id}; --continue goes on with it.")
    chat.thread.finish()
    for note in chat.thread.take_notes():
        chat.screen.note(note)
    if chat.thread.is_loading:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # mlx cannot be interrupted, and nothing is left to be written
