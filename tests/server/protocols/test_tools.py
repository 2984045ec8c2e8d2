"""Tools that the page has called: listed with their cost, and only for who is let in."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from server_fakes import FakeBackend

from mlx_magistral.errors import McpError
from mlx_magistral.server.guard import Rules
from mlx_magistral.server.tools import tool_routes

from .conftest import serving


class Shout:
    """A tool of no server."""

    name = "shout"
    place = "voice/shout"

    def to_openai(self) -> dict[str, Any]:
        return {"type": "function", "function": {"name": "shout", "parameters": {}}}

    def call(self, arguments: str) -> str:
        if arguments == "{}":
            raise McpError("there is nothing to say")
        return arguments.upper()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    routes = tool_routes([Shout()], lambda tool: len(tool))
    with serving(FakeBackend(), Rules("secret"), tools=routes) as address:
        yield address


KEY = {"Authorization": "Bearer secret"}


def called(url: str, headers: dict[str, str], **body: Any) -> httpx.Response:
    return httpx.post(f"{url}/mcp/call", json=body, headers=headers)


def test_listed_with_their_cost_and_called(url: str) -> None:
    listed = httpx.get(f"{url}/mcp/tools", headers=KEY).json()["tools"]
    assert [(each["place"], each["tokens"]) for each in listed] == [("voice/shout", 2)]
    assert listed[0]["tool"]["function"]["name"] == "shout"
    assert called(url, KEY, name="shout", arguments='{"a": "b"}').json() == {"result": '{"A": "B"}'}
    failed = called(url, KEY, name="shout", arguments="{}")
    assert (failed.status_code, failed.json()) == (200, {"error": "there is nothing to say"})


def test_what_is_no_call_and_who_has_no_key_is_refused(url: str) -> None:
    assert called(url, KEY, name="other", arguments="{}").status_code == 404
    assert called(url, KEY, name="shout").status_code == 400
    assert called(url, {}, name="shout", arguments="{}").status_code == 401
    assert httpx.get(f"{url}/mcp/tools").status_code == 401


def test_a_page_of_another_origin_calls_nothing() -> None:
    routes = tool_routes([Shout()], lambda tool: 0)
    with serving(FakeBackend(), tools=routes) as address:
        foreign = {"Origin": "http://evil.example"}
        assert called(address, foreign, name="shout", arguments="[1]").status_code == 403
        assert called(address, {}, name="shout", arguments="[1]").json() == {"result": "[1]"}


def test_a_server_without_tools_says_so(fake_url: str) -> None:
    assert httpx.get(f"{fake_url}/mcp/tools").json() == {"tools": []}
