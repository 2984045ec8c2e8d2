"""Connection: one server, from its start to its end, on the event loop of McpServers.

A server that cannot be started, dies, or does not answer in time becomes an McpError that says so;
nothing here waits without an end.
"""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from typing import IO, TYPE_CHECKING, Any

from mlx_magistral.errors import McpError, MissingExtraError
from mlx_magistral.mcp.config import ServerSpec
from mlx_magistral.version import __version__

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult, Tool

# Starting one may install it first, as npx and uvx do.
CONNECT_S = 60.0
CALL_S = 60.0
_MOST_PAGES = 50
_SAID_CHARACTERS = 300


class Connection:
    """A server's client, which belongs to the task that runs ``serve``."""

    def __init__(self, spec: ServerSpec, call_s: float) -> None:
        self.spec = spec
        self.tools: list[Tool] = []
        self.problem: str | None = None  # why it is of no use any longer
        self.error: MissingExtraError | None = None
        self._call_s = call_s
        self._client: Client | None = None

    async def serve(self, is_ready: asyncio.Event, must_end: asyncio.Event) -> None:
        """Connect, say so, stay until the end is asked for, and leave nothing behind."""
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            try:
                async with AsyncExitStack() as stack:
                    async with asyncio.timeout(CONNECT_S):
                        made = await self._make_client(stack, said)
                        self._client = await stack.enter_async_context(made)
                        self.tools = await _list_tools(self._client)
                    is_ready.set()
                    await must_end.wait()
            except MissingExtraError as error:
                self.error = error
            except TimeoutError:
                self.problem = f"did not answer within {CONNECT_S:.0f} s{_written(said)}"
            # The SDK wraps what goes wrong in groups of its own.
            except _failures() as error:
                self.problem = f"{_first(error)}{_written(said)}"
            finally:
                self._client = None
                is_ready.set()

    async def call(self, tool: str, arguments: dict[str, Any]) -> "CallToolResult":
        """Raises McpError where the server fails; what a tool says of itself is in the result."""
        from mcp import MCPError

        if self._client is None:
            raise McpError(f"{self.spec.name} {self.problem or 'has ended'}.")
        try:
            async with asyncio.timeout(self._call_s):
                return await self._client.call_tool(tool, arguments)
        except TimeoutError as error:
            raise McpError(f"{self.spec.name} gave no result within {self._call_s:g} s.") from error
        except MCPError as error:
            raise McpError(f"{self.spec.name}: {error.message}") from error
        except _failures() as error:
            raise McpError(f"{self.spec.name} {_first(error)}") from error

    async def _make_client(self, stack: AsyncExitStack, said: IO[str]) -> "Client":
        """The client of a server, whose stderr goes to ``said``."""
        try:
            from mcp import Client, StdioServerParameters, stdio_client
            from mcp.client.streamable_http import streamable_http_client
            from mcp.shared._httpx_utils import create_mcp_http_client
            from mcp_types import Implementation
        except ImportError as error:
            raise MissingExtraError("Tools of MCP servers", "mcp") from error

        spec = self.spec
        info = Implementation(name="mlx-magistral", version=__version__)
        if spec.url is not None:
            http = create_mcp_http_client(headers=dict(spec.headers))
            await stack.enter_async_context(http)
            return Client(streamable_http_client(spec.url, http_client=http), client_info=info)
        assert spec.command is not None
        parameters = StdioServerParameters(
            command=spec.command, args=list(spec.args), env=dict(spec.env), cwd=spec.cwd
        )
        return Client(stdio_client(parameters, errlog=said), client_info=info)  # type: ignore[arg-type]


async def _list_tools(client: "Client") -> "list[Tool]":
    tools, cursor = [], None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools


def _written(said: IO[str]) -> str:
    """The end of what a server wrote to stderr."""
    said.seek(0)
    text = " ".join(said.read()[-_SAID_CHARACTERS:].split())
    return f" (it wrote: {text})" if text else ""


def _failures() -> tuple[type[Exception], ...]:
    """What a server that is not as it should be makes the SDK raise."""
    from httpx2 import HTTPError
    from mcp import MCPError

    return OSError, RuntimeError, ValueError, ExceptionGroup, MCPError, HTTPError


def _first(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"failed: {_one_line(error)}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
