"""The loop: read, run a command or send a message, until somebody leaves."""

import sys
from typing import Protocol

import click

from mlx_magistral.chat.chat import Chat
from mlx_magistral.chat.commands import run_command

# Without a slash too: nobody means them for the model.
_GOODBYES = ("exit", "quit")


class Reader(Protocol):
    """Where messages come from; raises EOFError at the end, KeyboardInterrupt at Ctrl-C."""

    def read(self, draft: str) -> str: ...


def run_chat(chat: Chat, reader: Reader) -> None:
    """Chat until the end of the input, /bye or Ctrl-D."""
    while not chat.is_over:
        draft, chat.draft = chat.draft, ""
        try:
            text = reader.read(draft).strip()
        except EOFError:
            break
        except KeyboardInterrupt:
            chat.is_editing = False
            continue
        if not text:
            chat.is_editing = False
            continue
        if text in _GOODBYES:
            break
        try:
            if not run_command(chat, text):
                chat.send(without_quotes(text))
        except (KeyboardInterrupt, click.Abort):  # the latter where a tool was asked about
            chat.screen.note("Stopped.")
    chat.conversation.close()


def without_quotes(text: str) -> str:
    """The text without the quotes that begin and end several lines."""
    if len(text) >= 6 and text.startswith('"""') and text.endswith('"""'):
        return text[3:-3].strip("\n")
    return text


class PlainReader:
    """Lines of stdin, each a message; a backslash at the end, or quotes, join several."""

    def read(self, draft: str) -> str:
        if sys.stdin.isatty():
            click.echo(f"> {draft}", nl=False, err=True)
        text = self._line()
        while is_unfinished(text):
            text = text[:-1] if text.endswith("\\") else text
            text += "\n" + self._line()
        return text

    def _line(self) -> str:
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")


def is_unfinished(text: str) -> bool:
    """Whether a line's end continues the message: after a backslash, or inside quotes."""
    opened = text.lstrip().startswith('"""')
    return text.endswith("\\") or (opened and text.count('"""') < 2)
