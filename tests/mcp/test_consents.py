"""What a person says to a call: once, for this session, for good, and to be asked again."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlx_magistral.cli import mcp_tools
from mlx_magistral.cli.command_tools import CommandTools
from mlx_magistral.cli.mcp_tools import AllTools, McpTools
from mlx_magistral.cli.tool_question import Consent
from mlx_magistral.errors import McpError, UsageError
from mlx_magistral.events import ToolCall
from mlx_magistral.mcp.config import ServerSpec
from mlx_magistral.mcp.consents import Consents, consents_file
from mlx_magistral.mcp.servers import McpServers

CALL = ToolCall("id0", "calculator", '{"expression": "6*7"}')
TIME = ServerSpec("time", "uvx", ("mcp-server-time",))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Consent]:
    """What is answered, in turn; nothing left means that nobody may ask."""
    waiting: list[Consent] = []
    monkeypatch.setattr(mcp_tools, "ask_consent", lambda place, call: waiting.pop(0))
    return waiting


def tools_of(servers: McpServers, **options: Any) -> McpTools:
    return McpTools(servers, **{"needs_yes": True, "can_ask": True, **options})


@pytest.mark.parametrize(
    ("answer", "is_called", "asks_again", "asks_next_time"),
    [
        (Consent.YES, True, True, True),
        (Consent.SESSION, True, False, True),
        (Consent.ALWAYS, True, False, False),
        (Consent.NO, False, True, True),
    ],
)
def test_an_answer_lasts_as_long_as_it_says(
    servers: McpServers,
    answers: list[Consent],
    answer: Consent,
    is_called: bool,
    asks_again: bool,
    asks_next_time: bool,
) -> None:
    answers.append(answer)
    tools = tools_of(servers)
    made = tools.call(CALL)
    assert (made.result == "42") is is_called
    assert is_called or made.problem == "the user refused this call"
    for again, asks in ((tools, asks_again), (tools_of(servers), asks_next_time)):
        answers[:] = [Consent.NO] if asks else []
        assert (again.call(CALL).result == "42") is not asks


def test_never_takes_the_tool_away_until_it_is_forgotten(
    servers: McpServers, answers: list[Consent]
) -> None:
    answers.append(Consent.NEVER)
    tools = tools_of(servers)
    tools.call(CALL)
    for each in (tools, tools_of(servers)):
        assert "calculator" not in each.tools
    assert "  calculator: never called" in tools.describe(None)
    tools.forget()
    assert "calculator" in tools_of(servers).tools


def test_without_anybody_to_ask_what_was_allowed_for_good_is_left(
    servers: McpServers, answers: list[Consent]
) -> None:
    assert not tools_of(servers, can_ask=False).tools
    answers.append(Consent.ALWAYS)
    tools_of(servers).call(CALL)
    assert list(tools_of(servers, can_ask=False).tools) == ["calculator"]
    assert len(tools_of(servers, can_ask=False, needs_yes=False).tools) == 7


def test_another_server_of_the_same_name_has_no_consent() -> None:
    Consents().keep(TIME, "convert", True)
    assert Consents().allows(TIME, "convert") is True
    assert Consents().allows(TIME, "other") is None
    assert Consents().allows(ServerSpec("time", "rm", ("-rf",)), "convert") is None


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": "yes"}'])
def test_a_damaged_file_of_consents_allows_nothing_and_is_named(content: str) -> None:
    consents_file().parent.mkdir(parents=True, exist_ok=True)
    consents_file().write_text(content)
    with pytest.raises(McpError, match=str(consents_file())):
        Consents()


def test_commands_and_servers_answer_together(servers: McpServers, tmp_path: Path) -> None:
    commands = CommandTools(("shout=tr a-z A-Z",), False, False)
    seen: list[Any] = []
    both = AllTools(commands, tools_of(servers, needs_yes=False), seen.append)
    assert {"shout", "calculator"} <= both.tools.keys() and len(both.schemas) == 8
    assert both.run(CALL) == "42"
    assert both.run(ToolCall("id1", "shout", '{"input": "a"}')) == '{"INPUT": "A"}'
    assert "there is no such tool" in json.loads(both.run(ToolCall("id2", "x", "{}")))["error"]
    assert [made.call.name for made in both.made] == ["calculator", "shout", "x"]
    assert [made.call.name for made in seen] == ["calculator", "x"]
    clash = CommandTools(("calculator=bc",), False, False)
    with pytest.raises(UsageError, match="--tool calculator has the name of an MCP server's tool"):
        AllTools(clash, tools_of(servers, needs_yes=False))
