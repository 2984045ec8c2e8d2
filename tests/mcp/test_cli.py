"""--mcp for generate and chat: nano calls the calculator of a real server."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlx_magistral.cli import mcp_tools
from mlx_magistral.cli.main import main
from mlx_magistral.cli.tool_question import Consent, ask_consent
from mlx_magistral.events import ToolCall
from mlx_magistral.mcp.config import own_file

SUM = "What is 4821 * 377?"


def test_the_model_calls_a_server_and_its_cost_is_said(mcp_json: Path) -> None:
    asked = ["generate", "--mcp", str(mcp_json), "--yes", "--mcp-tools", "tiny/calculator"]
    done = CliRunner().invoke(main, [*asked, "--json", "--temperature", "0", SUM])
    assert done.exit_code == 0, done.output
    reply = json.loads(done.stdout)
    (made,) = reply["calls_made"]
    assert (made["name"], made["result"]) == ("calculator", str(4821 * 377))
    assert str(4821 * 377) in reply["content"]
    assert "1 tool of 1 MCP server: " in done.stderr
    assert "tokens of every prompt. --mcp-tools chooses." in done.stderr


def test_settings_name_servers_and_off_takes_none(
    mcp_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_file().parent.mkdir(parents=True, exist_ok=True)
    own_file().write_text(mcp_json.read_text())
    runner = CliRunner()
    for setting in (["mcp", "tiny"], ["mcp_tools", "tiny/calculator, tiny/odd*"]):
        assert runner.invoke(main, ["config", "set", *setting]).exit_code == 0
    chosen = runner.invoke(main, ["generate", "--yes", "--max-tokens", "2", "hello"])
    assert "2 tools of 1 MCP server" in chosen.stderr, chosen.stderr
    # Nobody can be asked, and nobody asked for servers in this command.
    for options in ([], ["--mcp", "off"]):
        done = runner.invoke(main, ["generate", *options, "--max-tokens", "2", "hello"])
        assert done.exit_code == 0 and "MCP" not in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--mcp", "nowhere"], 2, "nowhere is no file, and no server of"),
        (["--mcp", "{json}"], 2, "nobody can be asked here. Add --yes."),
        (["--mcp", "{json}", "--yes", "--mcp-tools", "x"], 2, "x names no tool. Servers are tiny"),
        (["--mcp-tools", "x"], 2, "--mcp-tools chooses among the tools of --mcp."),
        (["--mcp", "{broken}"], 1, "is no JSON"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, mcp_json: Path, options: list[str], code: int, message: str
) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    filled = [each.format(json=mcp_json, broken=broken) for each in options]
    done = CliRunner().invoke(main, ["generate", *filled, "hello"])
    assert done.exit_code == code
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_chat_lists_chooses_and_forgets(mcp_json: Path) -> None:
    typed = f"/mcp\n/mcp tiny/calculator\n/mcp other\n{SUM}\n/mcp\n/mcp forget\n/help\n"
    asked = ["chat", "--no-log", "--yes", "--mcp", str(mcp_json), "--temperature", "0"]
    done = CliRunner().invoke(main, asked, input=typed)
    assert done.exit_code == 0, done.output
    assert "  calculator: called without asking\n" in done.output
    assert "  sleep: not chosen\n" in done.output
    assert "other names no tool" in done.output
    assert f"calculator gave {4821 * 377}" in done.output
    assert "1 tool of 1 MCP server: " in done.output
    bare = CliRunner().invoke(main, ["chat", "--no-log"], input="/mcp\n")
    assert "There are no MCP servers. Begin the chat with --mcp FILE." in bare.output


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y\n", "y"), ("s\n", "s"), ("A\n", "a"), ("v\n", "v"), ("\n", "n"), ("what\ny\n", "y")],
)
def test_the_question_shows_all_that_would_be_sent(
    typed: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import click

    call = ToolCall("id0", "write_file", '{"path": "/a", "text": "\\u001b[2Jx"}')

    @click.command()
    def ask() -> None:
        click.echo(f"answer {ask_consent('files/write_file', call)}")

    done = CliRunner().invoke(ask, input=typed)
    assert done.stdout.strip().endswith(f"answer {answer}")
    assert "files/write_file wants to be called with:" in done.stderr
    assert '"path": "/a"' in done.stderr and "\\u001b[2Jx" in done.stderr
    assert Consent(answer) in Consent and mcp_tools.ask_consent is ask_consent
