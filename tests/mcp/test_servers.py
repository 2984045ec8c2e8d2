"""A real server of the SDK: what its tools give, and what is told where it fails."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlx_magistral.errors import McpError, MissingExtraError, UsageError
from mlx_magistral.mcp.choosing import is_chosen
from mlx_magistral.mcp.results import result_text
from mlx_magistral.mcp.servers import McpServers, McpTool


def tool_of(servers: McpServers, name: str) -> McpTool:
    return next(tool for tool in servers.every if tool.name == name)


def test_tools_are_described_as_models_are_told_of_them(servers: McpServers) -> None:
    described = tool_of(servers, "calculator").to_openai()["function"]
    assert described["description"] == "Calculate an arithmetic expression."
    assert described["parameters"]["required"] == ["expression"]
    odd = tool_of(servers, "odd_name")
    assert odd.place == "tiny/odd.name"


def test_results_are_text_cut_at_a_stated_size_and_pictures_are_named(servers: McpServers) -> None:
    assert tool_of(servers, "calculator").run('{"expression": "6*7"}') == "42"
    assert json.loads(tool_of(servers, "odd_name").run("{}")) == {"GREETING": "bonjour"}
    long = tool_of(servers, "repeat").run('{"text": "abcd", "count": 5000}')
    assert long == "abcd" * 4000 + "\n[cut: the first 16,000 of 20,000 characters]"
    assert tool_of(servers, "picture").run("{}") == (
        "[left out: image (image/png), and this model reads text only]\nof a cat"
    )
    assert result_text([], {"a": 1}) == '{"a": 1}'


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("fail", "{}", "fail"),
        ("calculator", '{"expression": 5}', "expression"),
        ("calculator", '{"expr', "arguments must be a JSON object"),
        ("calculator", "[1]", "arguments must be a JSON object"),
    ],
)
def test_a_failure_is_told_to_the_model(
    servers: McpServers, name: str, arguments: str, told: str
) -> None:
    assert told in json.loads(tool_of(servers, name).run(arguments))["error"]
    with pytest.raises(McpError):
        tool_of(servers, name).call(arguments)


def test_a_server_that_hangs_or_dies_is_told_and_ends(mcp_json: Path) -> None:
    with McpServers(str(mcp_json), timeout_s=0.3) as servers:
        slow = json.loads(tool_of(servers, "sleep").run('{"seconds": 1.5}'))
        assert slow == {"error": "tiny gave no result within 0.3 s."}
    with McpServers(str(mcp_json)) as servers:
        assert "error" in json.loads(tool_of(servers, "die").run("{}"))
        began = time.monotonic()
        assert "tiny" in json.loads(tool_of(servers, "calculator").run("{}"))["error"]
        assert time.monotonic() - began < 5
    assert "closed" in json.loads(tool_of(servers, "calculator").run("{}"))["error"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["no-such-program"], "The MCP server x failed: .*no-such-program"),
        ([sys.executable, "-c", "import sys; sys.exit('no key')"], "x failed: .*it wrote: no key"),
    ],
)
def test_a_server_that_does_not_start_is_an_error_that_says_why(
    tmp_path: Path, command: list[str], message: str
) -> None:
    path = tmp_path / "mcp.json"
    server = {"command": command[0], "args": command[1:]}
    path.write_text(json.dumps({"mcpServers": {"x": server}}))
    with pytest.raises(McpError, match=message):
        McpServers(str(path))


@contextmanager
def over_http() -> Iterator[str]:
    import uvicorn
    from mcp.server.mcpserver import MCPServer

    app = MCPServer("sums", log_level="ERROR")

    @app.tool()
    def calculator(a: int, b: int) -> str:
        """Add two numbers."""
        return str(a + b)

    config = uvicorn.Config(app.streamable_http_app(), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join(10)


def test_streamable_http_and_two_tools_of_one_name(tmp_path: Path, mcp_json: Path) -> None:
    with over_http() as url:
        path = tmp_path / "http.json"
        path.write_text(json.dumps({"servers": {"sums": {"type": "http", "url": url}}}))
        with McpServers([str(mcp_json), str(path)]) as servers:
            assert tool_of(servers, "sums__calculator").run('{"a": 2, "b": 40}') == "42"
            assert tool_of(servers, "calculator").run('{"expression": "6*7"}') == "42"
    with pytest.raises(McpError, match="The MCP server sums failed"):
        McpServers(str(path))


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ([], {"a/read_x", "a/write", "b/read_y"}),
        (["a"], {"a/read_x", "a/write"}),
        (["*/read_*"], {"a/read_x", "b/read_y"}),
        (["!*/write"], {"a/read_x", "b/read_y"}),
        (["a", "!a/w*"], {"a/read_x"}),
        (["b/read_y", "a/write"], {"a/write", "b/read_y"}),
    ],
)
def test_patterns_choose_among_tools(patterns: list[str], chosen: set[str]) -> None:
    every = ["a/read_x", "a/write", "b/read_y"]
    assert {each for each in every if is_chosen(*each.split("/"), patterns)} == chosen


def test_choosing_anew_and_a_pattern_that_names_nothing(servers: McpServers) -> None:
    servers.choose(["tiny/calc*", "tiny/odd.name"])
    assert [tool.name for tool in servers.tools] == ["calculator", "odd_name"]
    with pytest.raises(UsageError, match="other/x names no tool. Servers are tiny"):
        servers.choose(["other/x"])
    servers.choose([])
    assert len(servers.tools) == len(servers.every) == 7


@pytest.mark.parametrize(
    "options",
    [{"timeout_s": "5"}, {"timeout_s": 0}, {"most_characters": 1.5}, {"patterns": "tiny"}],
    ids=str,
)
def test_wrong_values_are_named(mcp_json: Path, options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        McpServers(str(mcp_json), **options)  # type: ignore[arg-type]


def test_without_the_sdk_the_extra_is_named(
    mcp_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtraError, match=r"mlx-magistral\[mcp\]"):
        McpServers(str(mcp_json))
