"""Which tools of the servers the model is told of: each costs tokens of every prompt."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from mlx_magistral.errors import UsageError


def is_chosen(server: str, tool: str, patterns: Sequence[str]) -> bool:
    """Whether the patterns name a tool: ``server``, ``server/tool``, with ``*`` for any letters.

    None at all name every tool. One that begins with ``!`` takes away what the others name.
    """
    wanted = [each for each in patterns if not each.startswith("!")]
    unwanted = [each[1:] for each in patterns if each.startswith("!")]
    is_wanted = not wanted or any(_matches(server, tool, each) for each in wanted)
    return is_wanted and not any(_matches(server, tool, each) for each in unwanted)


def require_all_known(patterns: Sequence[str], tools: Sequence[tuple[str, str]]) -> None:
    """Raise UsageError for a pattern that names none of the (server, tool)."""
    for pattern in patterns:
        if not any(_matches(*each, pattern.removeprefix("!")) for each in tools):
            servers = ", ".join(dict.fromkeys(server for server, _ in tools)) or "none"
            raise UsageError(
                f"{pattern} names no tool. Servers are {servers}; a pattern is SERVER or "
                "SERVER/TOOL, with * for any letters."
            )


def _matches(server: str, tool: str, pattern: str) -> bool:
    named, slash, rest = pattern.partition("/")
    return fnmatchcase(server, named) and (not slash or fnmatchcase(tool, rest))
