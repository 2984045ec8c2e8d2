"""Which servers there are: an mcp.json, in the form of Claude Desktop, Cursor, VS Code, LM Studio.

    {"mcpServers": {"time": {"command": "uvx", "args": ["mcp-server-time"], "env": {...}},
                    "docs": {"url": "https://...", "headers": {...}}}}

VS Code calls the object ``servers``. ``${env:NAME}`` and ``${userHome}`` are filled in; what asks a
person, as ``${input:...}`` does there, is refused by name. No mcp SDK here.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlx_magistral.errors import McpError, UsageError
from mlx_magistral.settings import config_file

FILE_NAME = "mcp.json"
_ROOTS = ("mcpServers", "servers")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_HTTP_TYPES = ("http", "streamable-http", "streamableHttp")


@dataclass(frozen=True)
class ServerSpec:
    """One server: a command that speaks on stdin and stdout, or the URL of one that is running."""

    name: str
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What it runs or where it is: another server of the same name is another."""
        return self.url if self.url is not None else json.dumps([self.command, *self.args])


def own_file() -> Path:
    """Where the servers are that go by their names: beside the settings."""
    return config_file().with_name(FILE_NAME)


def find_servers(names: Sequence[str]) -> list[ServerSpec]:
    """The servers of each FILE, and those of the user's own file by NAME; each once.

    Raises UsageError for a name that is neither, McpError for a file that cannot be used.
    """
    found: dict[str, ServerSpec] = {}
    own: dict[str, ServerSpec] | None = None
    for name in names:
        path = Path(name).expanduser()
        if path.suffix == ".json" or path.is_file():
            chosen = read_servers(path)
        else:
            own = (
                ({} if not own_file().is_file() else read_servers(own_file()))
                if own is None
                else own
            )
            chosen = {name: own[name]} if name in own else _refuse_name(name, own)
        for each in chosen.values():
            if found.setdefault(each.name, each) != each:
                raise UsageError(f"Two MCP servers are named {each.name}. Rename one.")
    return list(found.values())


def read_servers(path: Path) -> dict[str, ServerSpec]:
    """The servers of a file by name, without those that are disabled. Raises McpError."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise McpError(f"{path} cannot be read ({error}).") from error
    except ValueError as error:
        raise McpError(f"{path} is no JSON: {error}.") from error
    servers = (
        next((content[key] for key in _ROOTS if key in content), None)
        if isinstance(content, dict)
        else None
    )
    if not isinstance(servers, dict):
        raise McpError(f'{path} has no "mcpServers", an object of servers by name.')
    return {
        name: _read_server(path, name, value)
        for name, value in servers.items()
        if not (isinstance(value, dict) and value.get("disabled") is True)
    }


def _refuse_name(name: str, own: Mapping[str, ServerSpec]) -> dict[str, ServerSpec]:
    known = f"It has {', '.join(own)}." if own else "There is no such file, or it is empty."
    raise UsageError(f"--mcp: {name} is no file, and no server of {own_file()}. {known}")


def _read_server(path: Path, name: str, value: Any) -> ServerSpec:
    place = f"{path}: the server {name}"
    if not isinstance(value, dict):
        raise McpError(f"{place} is no object.")
    kind, url = value.get("type"), value.get("url")
    if kind == "sse":
        raise McpError(f"{place} is of type sse, which MCP gave up. Give its streamable HTTP URL.")
    if kind not in (None, "stdio", *_HTTP_TYPES):
        raise McpError(f"{place} is of type {kind!r}; known are stdio and http.")
    if (url is None) == (value.get("command") is None):
        raise McpError(f'{place} must have either a "command" or a "url".')
    return ServerSpec(
        name,
        command=None if url is not None else _text(place, "command", value["command"]),
        args=tuple(_text(place, "args", each) for each in _listed(place, "args", value)),
        env=_texts(place, "env", value),
        cwd=None if value.get("cwd") is None else _text(place, "cwd", value["cwd"]),
        url=None if url is None else _url(place, url),
        headers=_texts(place, "headers", value),
    )


def _url(place: str, value: Any) -> str:
    url = _text(place, "url", value)
    if not url.startswith(("http://", "https://")):
        raise McpError(f"{place} has the url {url!r}; it must begin with http:// or https://.")
    return url


def _listed(place: str, key: str, value: Mapping[str, Any]) -> list[Any]:
    listed = value.get(key, [])
    if not isinstance(listed, list):
        raise McpError(f'{place}: "{key}" must be a list of texts, not {listed!r}.')
    return listed


def _texts(place: str, key: str, value: Mapping[str, Any]) -> dict[str, str]:
    mapping = value.get(key) or {}
    if not isinstance(mapping, dict):
        raise McpError(f'{place}: "{key}" must be an object of texts, not {mapping!r}.')
    return {name: _text(place, f"{key}.{name}", each) for name, each in mapping.items()}


def _text(place: str, key: str, value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise McpError(f'{place}: "{key}" must be a text, not {value!r}.')

    def fill(found: re.Match[str]) -> str:
        variable = found[1]
        if variable == "userHome":
            return str(Path.home())
        name = variable.removeprefix("env:")
        if name == variable:
            raise McpError(f'{place}: "{key}" has {found[0]}, which only an editor fills in.')
        if name not in os.environ:
            raise McpError(f'{place}: "{key}" has {found[0]}, and {name} is not set. Set it.')
        return os.environ[name]

    return _VARIABLE.sub(fill, value)
