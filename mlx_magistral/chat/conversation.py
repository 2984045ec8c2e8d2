"""Conversation: what was said so far, in memory and, where it is logged, in a session's file.

The file is made with the first question, so a chat that says nothing leaves nothing behind. One
that cannot be written costs a note: the conversation goes on in memory.
"""

import time
from collections.abc import Callable, Sequence

from mlx_magistral.chat.session import Session, SessionContent
from mlx_magistral.chat.sessions import SessionStore
from mlx_magistral.chat.turns import (
    Message,
    is_answered,
    shown_to_model,
    split_turns,
)
from mlx_magistral.errors import SessionError
from mlx_magistral.events import Reply


class Conversation:
    """One conversation; without a store nothing of it is written."""

    def __init__(self, store: SessionStore | None, name: str | None = None) -> None:
        self._store = store
        self._name = name
        self._session: Session | None = None
        self._content = SessionContent("", time.time())
        self._notes: list[str] = []

    @classmethod
    def resume(cls, store: SessionStore, name: str) -> tuple["Conversation", list[str]]:
        """Go on with a session; also returns notes about lines that were lost."""
        conversation = cls(store, name)
        conversation._session, notes = store.resume(name)
        conversation._content = conversation._session.content
        return conversation, notes

    @property
    def content(self) -> SessionContent:
        """Everything that was said. To be read: the methods here change it."""
        return self._session.content if self._session is not None else self._content

    @property
    def id(self) -> str | None:
        """The session's name; None where there is no file, or not yet."""
        return None if self._session is None else self._session.content.id

    @property
    def turns(self) -> list[list[Message]]:
        return split_turns(self.content.messages)

    @property
    def last_question(self) -> str | None:
        turns = self.turns
        return str(turns[-1][0]["content"]) if turns else None

    def set_system(self, text: str | None) -> None:
        """The system text from the next question on, beside the official prompt."""
        self._content.system = text
        if self._session is not None and self._session.content.system != text:
            self._write(lambda session: session.set_system(text))

    def ask(self, question: str, model: str | None) -> None:
        """Add a question, and begin the file with the first one."""
        if self._session is None and self._store is not None:
            self._begin(self._store, question, model)
        if self._session is not None:
            self._write(lambda session: session.add_user(question))
        else:
            self._content.messages.append({"role": "user", "content": question})
            self._content.figures.append(None)

    def add_reply(self, reply: Reply) -> None:
        if self._session is not None:
            self._write(lambda session: session.add_reply(reply))
        else:
            self._content.messages.append(reply.message)
            self._content.figures.append(None)

    def add_results(self, results: Sequence[Message]) -> None:
        if self._session is not None:
            self._write(lambda session: session.add_results(results))
        else:
            self._content.messages.extend(results)
            self._content.figures.extend([None] * len(results))

    def drop_last_turn(self) -> str | None:
        """Take the last turn back; returns its question, None where there is none."""
        turns = self.turns
        if not turns:
            return None
        count = len(self.content.messages) - len(turns[-1])
        if self._session is not None:
            self._write(lambda session: session.rewind(count))
        else:
            self._content.rewind(count)
        return str(turns[-1][0]["content"])

    def prompt(self, *, keep_reasoning: bool) -> list[Message]:
        """What the model is asked: the system text, the answered turns and the open one."""
        turns = self.turns
        is_open = bool(turns) and not is_answered(turns[-1])
        earlier = [message for turn in (turns[:-1] if is_open else turns) for message in turn]
        system = self.content.system
        return [
            *([{"role": "system", "content": system}] if system else []),
            *shown_to_model(earlier, keep_reasoning=keep_reasoning),
            *(turns[-1] if is_open else []),
        ]

    def take_notes(self) -> list[str]:
        """What could not be written since the last call, a line each."""
        notes, self._notes = self._notes, []
        return notes

    def close(self) -> None:
        """Let others open the session."""
        if self._session is not None:
            self._session.close()

    def _begin(self, store: SessionStore, question: str, model: str | None) -> None:
        try:
            self._session = store.create(question=question, model=model, name=self._name)
        except SessionError as error:
            self._go_on_unsaved(error)
            return
        system = self._content.system
        if system is not None:
            self._write(lambda session: session.set_system(system))

    def _write(self, change: Callable[[Session], None]) -> None:
        """Change the open session, which holds what was said even if its file does not."""
        assert self._session is not None
        try:
            change(self._session)
        except SessionError as error:
            self._content = self._session.content
            self._session.close()
            self._session = None
            self._go_on_unsaved(error)

    def _go_on_unsaved(self, error: SessionError) -> None:
        self._store = None
        self._notes.append(f"{error} What is said from here on is not kept.")
