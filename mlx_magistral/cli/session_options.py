"""``--session``, ``--continue`` and what earlier thoughts the model sees."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.chat.conversation import Conversation
from mlx_magistral.chat.sessions import SessionStore
from mlx_magistral.errors import SessionError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def complete_session(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list["CompletionItem"]:
    """Names of sessions, the one written to last first; reads names alone."""
    from click.shell_completion import CompletionItem

    names = SessionStore().names()
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


_SESSION = (
    click.option(
        "session",
        "--session",
        metavar="PART",
        shell_complete=complete_session,
        help="Go on with a session, by its name or a part of it, or begin one of this name.",
    ),
    click.option("goes_on", "--continue", is_flag=True, help="Go on with the last session."),
    click.option(
        "--keep-reasoning/--drop-reasoning",
        default=False,
        help="Whether the model sees its earlier thoughts.  [default: drop]",
    ),
)


def session_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags of a conversation; take_conversation takes them out again."""
    for option in reversed(_SESSION):
        command = option(command)
    return command


def take_conversation(
    options: dict[str, Any], *, is_quiet: bool
) -> tuple[Conversation | None, bool]:
    """Remove the flags; returns the conversation they name, if any, and keep_reasoning.

    Says once on stderr which conversation it is and what of it the model sees, unless quiet.
    """
    name, goes_on = options.pop("session"), options.pop("goes_on")
    keep_reasoning = bool(options.pop("keep_reasoning"))
    if name is None and not goes_on:
        return None, keep_reasoning
    conversation, notes = open_conversation(SessionStore(), name, goes_on=goes_on)
    click.get_current_context().call_on_close(conversation.close)
    if is_quiet:
        return conversation, keep_reasoning
    for note in notes:
        click.echo(note, err=True)
    seen = "kept" if keep_reasoning else "dropped"
    other = "--drop-reasoning" if keep_reasoning else "--keep-reasoning"
    turns = len(conversation.turns)
    shown = f"Session {conversation.id}: {turns} turn{'s' * (turns > 1)} so far"
    if turns == 0:
        shown = f"New session {conversation.id or name}"
    click.echo(f"{shown}; earlier thoughts are {seen} ({other}).", err=True)
    return conversation, keep_reasoning


def open_conversation(
    store: SessionStore, name: str | None, *, goes_on: bool
) -> tuple[Conversation, list[str]]:
    """The session of this name or with this in its name, new where there is none; or the last.

    Raises SessionError where several have it in their names.
    """
    if goes_on:
        if name is not None:
            raise UsageError("--continue is the last session; with --session NAME leave it out.")
        name = store.latest()
        if name is None:
            raise SessionError(
                "There is no session to continue yet. Begin one with --session NAME, or with "
                "mlx-magistral chat."
            )
    found = None if name is None else _match(store, name)
    if found is None:
        return Conversation(store, name), []
    return Conversation.resume(store, found)


def _match(store: SessionStore, name: str) -> str | None:
    if store.exists(name):
        return name
    try:
        return store.match(name)
    except OSError:  # nobody may look there; that nothing is kept is said where it is written
        return None
