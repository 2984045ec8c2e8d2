"""mcp.json in the forms that other programs write, and what is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlx_magistral.errors import McpError, UsageError
from mlx_magistral.mcp.config import ServerSpec, find_servers, own_file, read_servers

TIME = {"command": "uvx", "args": ["mcp-server-time"]}


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "content",
    [
        {"mcpServers": {"time": TIME}},  # Claude Desktop, Cursor, LM Studio
        {"servers": {"time": {"type": "stdio", **TIME}}, "inputs": []},  # VS Code
        {"mcpServers": {"time": TIME, "off": {"disabled": True, "command": "x"}}},
    ],
)
def test_each_form_names_its_servers(tmp_path: Path, content: Any) -> None:
    found = read_servers(written(tmp_path / "mcp.json", content))
    assert found == {"time": ServerSpec("time", "uvx", ("mcp-server-time",))}


def test_http_servers_have_headers_and_variables_are_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    headers = {"Authorization": "Bearer ${env:TOKEN}"}
    server = {"type": "http", "url": "https://example.com/mcp", "headers": headers}
    (found,) = read_servers(written(tmp_path / "a.json", {"servers": {"docs": server}})).values()
    assert found.url == "https://example.com/mcp"
    assert found.headers == {"Authorization": "Bearer secret"}
    assert "secret" not in found.identity
    home = {"command": "${userHome}/bin/x", "env": {"PORT": 80}}
    (found,) = read_servers(written(tmp_path / "a.json", {"servers": {"x": home}})).values()
    assert found.command == f"{Path.home()}/bin/x" and found.env == {"PORT": "80"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ([1], 'has no "mcpServers"'),
        ({"mcpServers": [1]}, 'has no "mcpServers"'),
        ({"mcpServers": {"a": 5}}, "the server a is no object"),
        ({"mcpServers": {"a": {}}}, 'the server a must have either a "command" or a "url"'),
        ({"mcpServers": {"a": {"url": "ftp://x"}}}, "must begin with http"),
        ({"mcpServers": {"a": {"type": "sse", "url": "http://x"}}}, "of type sse"),
        ({"mcpServers": {"a": {"type": "ws", "url": "http://x"}}}, "of type 'ws'"),
        ({"mcpServers": {"a": {"command": ["x"]}}}, '"command" must be a text'),
        ({"mcpServers": {"a": {"command": "x", "args": "y"}}}, '"args" must be a list'),
        ({"mcpServers": {"a": {"command": "x", "env": [1]}}}, '"env" must be an object'),
        ({"servers": {"a": {"command": "x", "args": ["${input:key}"]}}}, r"\$\{input:key\}"),
        ({"servers": {"a": {"command": "${env:NO_SUCH}"}}}, "NO_SUCH is not set"),
    ],
)
def test_what_cannot_be_is_named_with_its_file(tmp_path: Path, content: Any, message: str) -> None:
    path = written(tmp_path / "mcp.json", content)
    with pytest.raises(McpError, match=message) as caught:
        read_servers(path)
    assert str(path) in str(caught.value)


def test_names_are_looked_up_beside_the_settings(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="time is no file, and no server of .*There is no such"):
        find_servers(["time"])
    written(own_file(), {"mcpServers": {"time": TIME, "other": {"command": "y"}}})
    assert [each.name for each in find_servers(["time"])] == ["time"]
    with pytest.raises(UsageError, match="clock is no file.*It has time, other"):
        find_servers(["clock"])


def test_a_server_counts_once_and_two_of_a_name_are_refused(tmp_path: Path) -> None:
    one = written(tmp_path / "one.json", {"mcpServers": {"time": TIME}})
    assert len(find_servers([str(one), str(one)])) == 1
    two = written(tmp_path / "two.json", {"mcpServers": {"time": {"command": "other"}}})
    with pytest.raises(UsageError, match="Two MCP servers are named time"):
        find_servers([str(one), str(two)])
