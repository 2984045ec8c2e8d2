"""An mcp.json with one server, and that server, started once."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlx_magistral.mcp.servers import McpServers

TINY = Path(__file__).with_name("tiny_server.py")


@pytest.fixture(scope="session")
def mcp_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mcp") / "mcp.json"
    server = {"command": sys.executable, "args": [str(TINY)], "env": {"GREETING": "bonjour"}}
    path.write_text(json.dumps({"mcpServers": {"tiny": server}}))
    return path


@pytest.fixture(scope="session")
def servers(mcp_json: Path) -> Iterator[McpServers]:
    with McpServers(str(mcp_json), timeout_s=20) as started:
        yield started
