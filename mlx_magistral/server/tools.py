"""Tools of MCP servers for the chat page: it lists them, asks its reader, and has them called here.

Only for the page, whose reader consents there; the protocols leave tools to their clients.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mlx_magistral.errors import McpError
from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.protocols import fields
from mlx_magistral.server.service import read_body


class ServedTool(Protocol):
    """One tool, see McpTool."""

    name: str

    @property
    def place(self) -> str: ...
    def to_openai(self) -> dict[str, Any]: ...
    def call(self, arguments: str) -> str: ...


class CallBody(fields.Body):
    """A call as the model wrote it."""

    name: str
    arguments: str


def tool_routes(
    tools: Sequence[ServedTool], cost: Callable[[dict[str, Any]], int]
) -> list[BaseRoute]:
    """``/mcp/tools`` and ``/mcp/call``; ``cost`` is a tool's tokens of every prompt."""
    by_name = {tool.name: tool for tool in tools}
    listed = [
        {"place": tool.place, "tokens": cost(tool.to_openai()), "tool": tool.to_openai()}
        for tool in tools
    ]

    async def every(request: Request) -> Response:
        return JSONResponse({"tools": listed})

    async def call(request: Request) -> Response:
        body = await read_body(request, CallBody)
        if body.name not in by_name:
            raise ApiError(404, f"There is no tool {body.name!r} here.", "tool_not_found", "name")
        try:
            result = await asyncio.to_thread(by_name[body.name].call, body.arguments)
        except McpError as error:
            return JSONResponse({"error": str(error)})
        return JSONResponse({"result": result})

    return [Route("/mcp/tools", every), Route("/mcp/call", call, methods=["POST"])]
