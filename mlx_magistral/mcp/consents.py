"""Consents: what a person said for good to tools of servers, and for this session."""

import json
from collections.abc import Mapping
from pathlib import Path

from mlx_magistral.errors import McpError
from mlx_magistral.mcp.config import ServerSpec, own_file
from mlx_magistral.settings import write_text_atomically

_FILE_NAME = "mcp-consents.json"


def consents_file() -> Path:
    """Where they are kept: beside the settings."""
    return own_file().with_name(_FILE_NAME)


class Consents:
    """By server and tool; a server that runs something else under the same name is another one."""

    def __init__(self) -> None:
        self._path = consents_file()
        self._kept = dict(_read(self._path))
        self._session: set[str] = set()

    def allows(self, server: ServerSpec, tool: str) -> bool | None:
        """True without asking, False never, None is to be asked."""
        key = _key(server, tool)
        return True if key in self._session else self._kept.get(key)

    def allow_session(self, server: ServerSpec, tool: str) -> None:
        """Ask no more until the program ends."""
        self._session.add(_key(server, tool))

    def keep(self, server: ServerSpec, tool: str, is_allowed: bool) -> None:
        """Ask no more at all. Raises SettingsError where that cannot be written."""
        self._kept[_key(server, tool)] = is_allowed
        self._write()

    def forget(self) -> None:
        """Ask for every tool again."""
        self._session.clear()
        self._kept.clear()
        self._write()

    def _write(self) -> None:
        write_text_atomically(self._path, json.dumps(self._kept, indent=1) + "\n")


def _key(server: ServerSpec, tool: str) -> str:
    return json.dumps([server.name, server.identity, tool])


def _read(path: Path) -> Mapping[str, bool]:
    try:
        kept = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise McpError(f"{path} cannot be read ({error}). Mend or remove it.") from error
    if not isinstance(kept, dict) or not all(isinstance(each, bool) for each in kept.values()):
        raise McpError(f"{path} is no list of consents. Remove it.")
    return kept
