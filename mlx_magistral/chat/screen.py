"""Screen: where a chat shows things, a terminal whose cursor moves or plain streams."""

import base64
import os
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from typing import Protocol

import click

from mlx_magistral.chat.worker import Prefilling, Tick
from mlx_magistral.events import Event
from mlx_magistral.terminal.display import Display, ThinkMode, can_style
from mlx_magistral.terminal.keys import quiet_keys
from mlx_magistral.terminal.size import terminal_size


class View(Protocol):
    """Shows one reply."""

    def feed(self, event: Event | Prefilling | Tick) -> None: ...
    def interrupted(self) -> None: ...
    def close(self) -> None: ...


class Screen:
    """Answers go to stdout; so does all of a reply where the terminal can be drawn on."""

    def __init__(self) -> None:
        both = sys.stdout.isatty() and sys.stdin.isatty()
        self.is_live = both and os.environ.get("TERM", "dumb") != "dumb"
        self.has_colour = self.is_live and can_style(sys.stdout)

    def view(self, think: ThinkMode) -> View:
        if not self.is_live:
            return _PlainView(think)
        from mlx_magistral.chat.view import ReplyView

        return ReplyView(sys.stdout, think, has_colour=self.has_colour)

    def note(self, text: str) -> None:
        """A line about the chat, not of it."""
        text = self._wrapped(text)
        click.echo(click.style(text, dim=True) if self.has_colour else text, err=True)

    def error(self, text: str) -> None:
        click.echo(self._wrapped(f"error: {text}"), err=True)

    def show(self, text: str) -> None:
        """What a command was asked for."""
        click.echo(self._wrapped(text))

    def answer(self, text: str) -> None:
        """An answer from earlier, as it looked then."""
        if not self.is_live:
            click.echo(text)
            return
        from mlx_magistral.terminal.markdown import MarkdownRenderer, formulas_as_code

        renderer = MarkdownRenderer(terminal_size()[0] - 1, has_colour=self.has_colour)
        click.echo("\n".join(renderer.lines(formulas_as_code(text))) + "\n")

    def copy(self, text: str) -> str:
        """Put a text on the clipboard; returns how, or why it could not be."""
        if shutil.which("pbcopy") and not os.environ.get("SSH_CONNECTION"):
            done = subprocess.run(["pbcopy"], input=text.encode(), check=False)
            return "Copied." if done.returncode == 0 else "pbcopy failed; nothing was copied."
        if not self.is_live:
            return "This terminal has no clipboard; /save FILE writes the conversation."
        encoded = base64.b64encode(text.encode()).decode()
        sys.stdout.write(f"\x1b]52;c;{encoded}\a")
        sys.stdout.flush()
        return "Copied, where the terminal allows it (OSC 52)."

    def _wrapped(self, text: str) -> str:
        if not self.is_live:
            return text
        from mlx_magistral.terminal.live import wrap

        return "\n".join(wrap(text, terminal_size()[0] - 1))

    def quiet_keys(self) -> AbstractContextManager[None]:
        """Keys that are pressed meanwhile do not show; Ctrl-C still acts."""
        return quiet_keys(sys.stdin if self.is_live else None)


class _PlainView:
    """display.py's Display, which knows neither loading nor prefill."""

    def __init__(self, think: ThinkMode) -> None:
        self._display = Display(sys.stdout, sys.stderr, think=think)

    def feed(self, event: Event | Prefilling | Tick) -> None:
        if not isinstance(event, Tick | Prefilling):
            self._display.feed(event)

    def interrupted(self) -> None:
        self._display.interrupted()

    def close(self) -> None:
        self._display.close()
