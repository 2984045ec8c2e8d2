"""Earlier conversations inside a chat: listed, opened again, and shown as they ended."""

import time
from itertools import islice
from typing import TYPE_CHECKING

from mlx_magistral.chat.conversation import Conversation
from mlx_magistral.chat.sessions import SessionSummary
from mlx_magistral.errors import SessionError

if TYPE_CHECKING:
    from mlx_magistral.chat.chat import Chat

_LISTED = 20
_TURNS_SHOWN = 2
_TITLE_CHARACTERS = 60


def shortened(text: str) -> str:
    """The first line, cut where it is long."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _TITLE_CHARACTERS else line[: _TITLE_CHARACTERS - 1] + "…"


def summary_line(summary: SessionSummary) -> str:
    """Name, turns and when it was written to last."""
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(summary.used))
    return f"{summary.id}  {summary.turns} turn{'s' * (summary.turns != 1)}, {used}"


def list_sessions(chat: "Chat", words: str) -> None:
    """A line for each session, newest first; raises SessionError where there is none."""
    found = list(islice(chat.store.search(words), _LISTED + 1))
    if not found:
        raise SessionError(f"No session holds {words!r}." if words else "There is no session yet.")
    for each in found[:_LISTED]:
        chat.screen.show(summary_line(each))
    if len(found) > _LISTED:
        chat.screen.note(f"and more; /sessions WORDS searches. Only {_LISTED} are listed.")


def load(chat: "Chat", words: str) -> None:
    """Go on with the session of this name; raises SessionError."""
    name = chat.store.find(words)
    if name == chat.conversation.id:
        raise SessionError(f"{name} is the session that is open.")
    conversation, notes = Conversation.resume(chat.store, name)
    chat.begin_anew(conversation)
    for note in notes:
        chat.screen.note(note)
    show_last_turns(chat)


def show_last_turns(chat: "Chat") -> None:
    """How a resumed conversation ended."""
    turns = chat.conversation.turns
    count = f"{len(turns)} turn{'s' * (len(turns) != 1)}"
    chat.screen.note(f"Session {chat.conversation.id}, {count}:")
    for turn in turns[-_TURNS_SHOWN:]:
        chat.screen.show(f"> {shortened(str(turn[0]['content']))}")
        for message in turn[1:]:
            if message["role"] == "assistant" and message.get("content"):
                chat.screen.answer(str(message["content"]))
