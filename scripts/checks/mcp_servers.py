#!/usr/bin/env python3
"""Real MCP servers, unmodified, called by a scripted model; what the model is told is checked.

They need many packages, so they live in environments of their own:

    python -m venv servers && servers/bin/pip install mcp-server-time mcp-server-fetch
    npm install --prefix servers @modelcontextprotocol/server-filesystem
    PATH=servers/bin:servers/node_modules/.bin:$PATH scripts/checks/mcp_servers.py

The fetch server reads a page of a server on this machine, and one more server is spoken to by
streamable HTTP. Prints a line for each call, and exits 1 where one is not what it should be.
"""

import http.server
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlx_magistral.decode.rules.control import ControlOptions
from mlx_magistral.decode.rules.guidance import make_guidance
from mlx_magistral.decode.rules.structure import structure_rules
from mlx_magistral.engine.tool_rounds import ToolRounds, answer_with_tools
from mlx_magistral.events import (
    ContentDelta,
    Event,
    Finished,
    FinishReason,
    Timings,
    ToolCallDelta,
    Usage,
)
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.mcp.servers import McpServers
from mlx_magistral.text.tokenizer import load_tokenizer
from mlx_magistral.text.tool_costs import tool_tokens

PAGE = "<html><body><article><h1>Lighthouses</h1><p>The tower is 54 m high.</p></article></body>"
_ZERO = Timings(0, 0, 0, 0, 0)


def main() -> int:
    problems = 0
    with tempfile.TemporaryDirectory() as folder, _page() as address, _http_server() as url:
        root = Path(folder).resolve()
        (root / "notes.txt").write_text("eggs, milk")
        config = root / "mcp.json"
        servers = {
            "time": {"command": "mcp-server-time", "args": ["--local-timezone", "Europe/Paris"]},
            "fetch": {"command": "mcp-server-fetch", "args": ["--allow-private-ips"]},
            "files": {"command": "mcp-server-filesystem", "args": [str(root)]},
            "http": {"type": "http", "url": url, "headers": {"X-Who": "us"}},
        }
        config.write_text(json.dumps({"mcpServers": servers}))
        started = time.monotonic()
        with McpServers(str(config)) as every:
            print(f"started {len(every.specs)} servers in {time.monotonic() - started:.1f} s")
            _describe(every)
            for name, arguments, expected in _calls(root, address):
                result = _called(every, name, arguments)
                is_right = expected in result
                problems += not is_right
                shown = " ".join(result.split())[:90]
                print(f"{'ok' if is_right else 'WRONG'}  {name} {arguments}: {shown}")
    print("all right" if not problems else f"{problems} wrong")
    return 1 if problems else 0


def _calls(root: Path, address: str) -> list[tuple[str, dict[str, Any], str]]:
    """A tool, what it is called with, and what has to be in its result."""
    to = {"source_timezone": "UTC", "time": "16:30", "target_timezone": "Asia/Tokyo"}
    return [
        ("get_current_time", {"timezone": "Europe/Paris"}, "Europe/Paris"),
        ("convert_time", to, "01:30"),
        ("convert_time", {**to, "time": "25:00"}, "error"),
        ("fetch", {"url": address}, "54 m high"),
        ("fetch", {"url": f"{address}missing"}, "error"),
        ("read_text_file", {"path": str(root / "notes.txt")}, "eggs, milk"),
        ("list_directory", {"path": str(root)}, "notes.txt"),
        ("write_file", {"path": str(root / "new.txt"), "content": "salt"}, "new.txt"),
        ("read_text_file", {"path": "/etc/passwd"}, "error"),
        ("add", {"a": 2, "b": 40}, "42"),
    ]


def _describe(every: McpServers) -> None:
    """What all of the tools cost, and that a grammar holds calls to them."""
    tokenizer = load_tokenizer(nano_folder())
    schemas = [tool.to_openai() for tool in every.tools]
    for spec in every.specs:
        own = [tool.to_openai() for tool in every.tools if tool.server is spec]
        print(f"{spec.name}: {len(own)} tools, {tool_tokens(tokenizer, own):,} of nano's tokens")
    guidance = make_guidance(tokenizer)
    structure_rules(ControlOptions(), tokenizer, schemas, "auto", lambda: guidance, 4096)
    print(f"a grammar holds calls to all {len(schemas)}")


def _called(every: McpServers, name: str, arguments: dict[str, Any]) -> str:
    """What a model that calls the tool is told."""
    replies: list[list[Event]] = [
        [
            ToolCallDelta(0, "call00000", name, json.dumps(arguments)),
            Finished(FinishReason.TOOL_CALLS, Usage(1, 1, 0), _ZERO),
        ],
        [ContentDelta("done"), Finished(FinishReason.STOP, Usage(1, 1, 0), _ZERO)],
    ]

    def stream(messages: list[Any], **options: Any) -> Iterator[Event]:
        return iter(replies.pop(0))

    rounds = ToolRounds("What is asked.", every.tools, 2, {})
    reply = answer_with_tools(stream, "scripted", rounds)
    return str(reply.rounds[1]["content"]) if reply.rounds else "it was not called"


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_there = self.path == "/"
        self.send_response(200 if is_there else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode() if is_there else b"")

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def _page() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


@contextmanager
def _http_server() -> Iterator[str]:
    """A server of the SDK's own, spoken to by streamable HTTP."""
    import uvicorn
    from mcp.server.mcpserver import MCPServer

    app = MCPServer("sums", log_level="ERROR")

    @app.tool()
    def add(a: int, b: int) -> str:
        """Add two numbers."""
        return str(a + b)

    config = uvicorn.Config(app.streamable_http_app(), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.should_exit = True
        thread.join(10)


if __name__ == "__main__":
    sys.exit(main())
