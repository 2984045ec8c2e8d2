"""McpServers: the servers of an mcp.json, started, with their tools; and one tool as models see it.

The SDK is async, the rest of the house is not: an event loop in a thread of its own has all
servers, and whoever calls a tool waits for it there, from any thread.
"""

import asyncio
import json
import re
import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any

from mlx_magistral.errors import McpError, UsageError
from mlx_magistral.mcp.choosing import is_chosen, require_all_known
from mlx_magistral.mcp.config import ServerSpec, find_servers
from mlx_magistral.mcp.connection import CALL_S, Connection
from mlx_magistral.mcp.results import RESULT_CHARACTERS, result_text
from mlx_magistral.options import require_list, require_number, require_whole

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME = 64
# Servers get so long to go in peace.
_LEAVE_S = 10.0


class McpTool:
    """One tool of a server: give it to ``tools=``, or ``run`` it."""

    name: str
    """What the model calls it: its own name where that is one, and no other tool has it."""

    server: ServerSpec
    """Whose it is."""

    own_name: str
    """What the server calls it."""

    description: str
    """What it is for."""

    parameters: dict[str, Any]
    """The JSON Schema of its arguments."""

    def __init__(self, servers: "McpServers", connection: Connection, tool: Any, name: str) -> None:
        self.server = connection.spec
        self.own_name = str(tool.name)
        self.name = name
        self.description = str(tool.description or tool.title or tool.name)
        self.parameters = dict(tool.input_schema)
        self._servers = servers
        self._connection = connection

    @property
    def place(self) -> str:
        """SERVER/TOOL, as patterns and people name it."""
        return f"{self.server.name}/{self.own_name}"

    def to_openai(self) -> dict[str, Any]:
        """As a model is told of it."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": function}

    def run(self, arguments: str) -> str:
        """The result as text; whatever went wrong is told in it, as ``{"error": ...}``."""
        try:
            return self.call(arguments)
        except McpError as error:
            return json.dumps({"error": str(error)}, ensure_ascii=False)

    def call(self, arguments: str) -> str:
        """The result as text; raises McpError for what went wrong, the tool's own failure too."""
        try:
            values = json.loads(arguments)
        except ValueError as error:
            raise McpError(f"arguments must be a JSON object: {error}") from error
        if not isinstance(values, dict):
            raise McpError(f"arguments must be a JSON object, not {arguments}")
        return self._servers.ask(self._connection, self.own_name, values)


class McpServers:
    """Starts servers and has their tools; use it as a context manager, or ``close`` it.

    ``names`` are files in the form of an mcp.json, or names of servers of the user's own file.
    ``patterns`` choose among the tools, as ``time`` or ``files/read_*``; none takes all. A call may
    last ``timeout_s``, and of its result the first ``most_characters`` are kept. Raises UsageError,
    McpError for a file or a server that cannot be used, MissingExtraError.
    """

    every: "list[McpTool]"
    """All tools of all servers, the chosen ones and the others."""

    patterns: tuple[str, ...]
    """What chooses among them."""

    def __init__(
        self,
        names: str | Sequence[str],
        *,
        patterns: Sequence[str] = (),
        timeout_s: float = CALL_S,
        most_characters: int = RESULT_CHARACTERS,
    ) -> None:
        names = [names] if isinstance(names, str) else names
        require_list("names", names)
        require_list("patterns", patterns)
        require_number("timeout_s", timeout_s)
        require_whole("most_characters", most_characters)
        if timeout_s <= 0 or most_characters < 1:
            raise UsageError("timeout_s and most_characters must be above 0.")
        specs = find_servers(names)
        self.every, self.patterns = [], ()
        self._most = most_characters
        self._loop = asyncio.new_event_loop()
        self._must_end = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mcp", daemon=True)
        self._thread.start()
        self._connections = [Connection(spec, timeout_s) for spec in specs]
        self._tasks: list[Future[None]] = []
        try:
            self._start()
            self.every = self._named_tools()
            self.choose(patterns)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "McpServers":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def specs(self) -> list[ServerSpec]:
        """The servers, in their order."""
        return [each.spec for each in self._connections]

    @property
    def tools(self) -> list[McpTool]:
        """Those that are chosen."""
        return [
            each for each in self.every if is_chosen(each.server.name, each.own_name, self.patterns)
        ]

    def choose(self, patterns: Sequence[str]) -> None:
        """Choose anew; raises UsageError for a pattern that names no tool."""
        require_all_known(patterns, [(each.server.name, each.own_name) for each in self.every])
        self.patterns = tuple(patterns)

    def ask(self, connection: Connection, tool: str, arguments: dict[str, Any]) -> str:
        """See McpTool.call."""
        if self._loop.is_closed():
            raise McpError(f"{connection.spec.name} was closed.")
        pending = asyncio.run_coroutine_threadsafe(connection.call(tool, arguments), self._loop)
        try:
            result = pending.result()
        except BaseException:
            pending.cancel()
            raise
        text = result_text(result.content, result.structured_content, self._most)
        if result.is_error:
            raise McpError(text or f"{tool} failed and did not say why")
        return text

    def close(self) -> None:
        """End the servers; more than once does no harm."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._must_end.set)
        for task in wait(self._tasks, _LEAVE_S).not_done:
            task.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_LEAVE_S)
        if not self._thread.is_alive():
            self._loop.close()

    def _start(self) -> None:
        """All at once; the first that cannot be started is an error."""
        ready = []
        for each in self._connections:
            is_ready = asyncio.Event()
            serving = each.serve(is_ready, self._must_end)
            self._tasks.append(asyncio.run_coroutine_threadsafe(serving, self._loop))
            ready.append(asyncio.run_coroutine_threadsafe(is_ready.wait(), self._loop))
        for waiting, each in zip(ready, self._connections, strict=True):
            waiting.result()
            if each.error is not None:
                raise each.error
            if each.problem is not None:
                raise McpError(f"The MCP server {each.spec.name} {each.problem}.")

    def _named_tools(self) -> list[McpTool]:
        """Names that models and grammars take, each once: a second one has its server's before."""
        found: dict[str, McpTool] = {}
        for connection in self._connections:
            for tool in connection.tools:
                name = _NOT_IN_A_NAME.sub("_", tool.name)
                if name in found:
                    name = _NOT_IN_A_NAME.sub("_", f"{connection.spec.name}__{name}")
                name = name[:_LONGEST_NAME]
                if name in found:
                    raise McpError(f"Two tools of MCP servers are named {name}. Choose among them.")
                found[name] = McpTool(self, connection, tool, name)
        return list(found.values())
