"""What a person reads before a command of ``--tool`` runs: all of it, and nothing that hides.

Models write the arguments. A terminal would obey their control characters, turn text around, or
show nothing for some letters; here such characters are escapes, as Python writes them.
"""

import json
import shlex
import shutil
import sys
import termios
from collections.abc import Sequence
from enum import StrEnum

import click

from mlx_magistral.events import ToolCall

_INDENT = "  "


def ask_to_run(command: Sequence[str], call: ToolCall) -> bool:
    """Show the question and take the answer that is typed once it is there.

    What was typed before, while the model thought, was not meant for it and is forgotten. Raises
    click.Abort at Ctrl-C and at the end of the input.
    """
    *shown, last = tool_question(command, call).split("\n")
    click.echo("\n".join(shown), err=True)
    if sys.stdin.isatty():
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    return click.confirm(last, err=True)


class Consent(StrEnum):
    """What a person says to the call of a server's tool."""

    YES = "y"
    SESSION = "s"
    ALWAYS = "a"
    NO = "n"
    NEVER = "v"


def ask_consent(place: str, call: ToolCall) -> Consent:
    """Show what a tool of an MCP server would be called with, and take the answer as ask_to_run."""
    width = shutil.get_terminal_size().columns - len(_INDENT)
    lines = [line for each in _argument_lines(call.arguments) for line in _wrapped(each, width)]
    click.echo("\n".join([f"{visible(place)} wants to be called with:", *lines]), err=True)
    if sys.stdin.isatty():
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    answer = click.prompt(
        "Call it? [y]es, for this [s]ession, [a]lways, [n]o, ne[v]er",
        type=click.Choice([each.value for each in Consent], case_sensitive=False),
        default=Consent.NO.value,
        show_choices=False,
        err=True,
    )
    return Consent(answer)


def tool_question(command: Sequence[str], call: ToolCall, columns: int | None = None) -> str:
    """The command, the arguments it reads, a line for each of them, and the question at last.

    Wrapped to ``columns``, the terminal's by default, and never shortened: what is not shown
    would run too.
    """
    width = (shutil.get_terminal_size().columns if columns is None else columns) - len(_INDENT)
    lines = [
        f"{call.name} wants to run:",
        *_wrapped(shlex.join(command), width),
        "which reads on stdin:",
        *(line for each in _argument_lines(call.arguments) for line in _wrapped(each, width)),
    ]
    return "\n".join([*lines, "Run it?"])


def visible(text: str) -> str:
    """The text with escapes for what a terminal would not show as a letter."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _argument_lines(arguments: str) -> list[str]:
    try:
        parsed = json.loads(arguments)
    except ValueError:
        return [arguments]
    # Strings keep their escapes, so a line of them is a line of the arguments.
    return json.dumps(parsed, ensure_ascii=False, indent=2).split("\n")


def _wrapped(text: str, width: int) -> list[str]:
    shown = visible(text)
    size = max(width, 20)
    return [_INDENT + shown[at : at + size] for at in range(0, len(shown), size)]
