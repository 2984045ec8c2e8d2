"""``--schema``, ``--tool`` and the like: flags for answers of a given form, and for tools."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mlx_magistral.cli.command_tools import TIMEOUT_S
from mlx_magistral.errors import UsageError

_MCP = (
    click.option(
        "mcp",
        "--mcp",
        multiple=True,
        metavar="FILE|NAME",
        help="MCP servers whose tools the model may call: an mcp.json, or the name of a server in "
        "the one beside the settings; off for none. It asks first.",
    ),
    click.option(
        "mcp_tools",
        "--mcp-tools",
        multiple=True,
        metavar="PATTERN",
        help="Of their tools only these: SERVER or SERVER/TOOL, * for any letters, !PATTERN "
        "without.",
    ),
)
_TOOLS = (
    click.option(
        "commands",
        "--tool",
        multiple=True,
        metavar="NAME=COMMAND",
        help="A command the model may call; it reads the arguments as JSON on stdin. "
        "NAME(a, b?: number): WHAT IT IS FOR=COMMAND says more; FILE.json has all that there is.",
    ),
    click.option("--yes", is_flag=True, help="Run tools without asking."),
    click.option(
        "--tool-timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=TIMEOUT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long a tool may take.",
    ),
    *_MCP,
)
_STRUCTURE = (
    click.option("--schema", help="The answer is JSON under this schema: a file, or the JSON."),
    click.option("--json-mode", is_flag=True, help="The answer is a JSON object."),
    *_TOOLS,
)


def structure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags for answers of a given form and for tools."""
    for option in reversed(_STRUCTURE):
        command = option(command)
    return command


def mcp_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags for MCP servers alone."""
    for option in reversed(_MCP):
        command = option(command)
    return command


def tool_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags for tools alone."""
    for option in reversed(_TOOLS):
        command = option(command)
    return command


def read_schema(text: str | None) -> dict[str, Any] | None:
    """The schema of ``--schema``: JSON text, or a file that holds it."""
    if text is None:
        return None
    source = "--schema"
    if not text.lstrip().startswith("{"):
        source = text
        try:
            text = Path(text).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--schema: {source} cannot be read ({error}).") from error
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{source} is not JSON: {error}.") from error
    if not isinstance(schema, dict):
        raise UsageError(f"{source} holds no JSON object.")
    return schema
