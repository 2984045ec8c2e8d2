"""--tool: what it may say, what a command is given, and what a person and the model are told."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mlx_magistral.cli.command_tools import CallMade, CommandTools
from mlx_magistral.cli.main import main
from mlx_magistral.cli.tool_question import tool_question
from mlx_magistral.cli.tool_specs import read_tools
from mlx_magistral.errors import UsageError
from mlx_magistral.events import ToolCall

SUM = "What is 4821 * 377?"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Nice", "Pau"]}}}


def call(name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall("id0000000", name, arguments)


def tools(*specifications: str, timeout_s: float = 60) -> CommandTools:
    return CommandTools(specifications, needs_yes=False, can_ask=False, timeout_s=timeout_s)


def made(*specifications: str, name: str = "a", timeout_s: float = 60) -> CallMade:
    all_tools = tools(*specifications, timeout_s=timeout_s)
    all_tools.run(call(name))
    return all_tools.made[0]


def python(code: str) -> str:
    return f"{sys.executable} -c '{code}'"


@pytest.mark.parametrize(
    ("text", "description", "properties", "required"),
    [
        ("a=cat", "a", {"input": "string"}, ["input"]),
        ("a()=cat", "a", {}, []),
        ("a(b, c)=cat", "a", {"b": "string", "c": "string"}, ["b", "c"]),
        ("a: Says it.=cat", "Says it.", {"input": "string"}, ["input"]),
        (
            "a(b: number, c?:boolean, d?): Adds: b and c.=cat",
            "Adds: b and c.",
            {"b": "number", "c": "boolean", "d": "string"},
            ["b"],
        ),
    ],
)
def test_a_line_says_description_and_types(
    text: str, description: str, properties: dict[str, str], required: list[str]
) -> None:
    (tool,) = read_tools(text)
    assert (tool.name, tool.command, tool.description) == ("a", ["cat"], description)
    expected = {name: {"type": kind} for name, kind in properties.items()}
    assert tool.parameters == {"type": "object", "properties": expected, "required": required}


def test_a_command_may_hold_every_sign() -> None:
    (tool,) = read_tools("a(b)=sh -c 'x=1: echo $x (b)'")
    assert tool.command == ["sh", "-c", "x=1: echo $x (b)"]


def test_a_file_has_one_tool_or_several(tmp_path: Path) -> None:
    one = {"name": "weather", "command": "echo sunny", "description": "W.", "parameters": SCHEMA}
    other = {"name": "now", "command": ["date", "+%H %M"]}
    path = tmp_path / "tools.json"
    for value in (one, [one, other]):
        path.write_text(json.dumps(value))
        found = read_tools(str(path))
        assert found[0].schema["function"] == {
            "name": "weather",
            "description": "W.",
            "parameters": SCHEMA,
        }
        assert found[0].command == ["echo", "sunny"]
    assert found[1].command == ["date", "+%H %M"]
    assert found[1].parameters == {"type": "object", "properties": {}, "required": []}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{", "is no JSON"),
        (["x"], "a tool is an object, not"),
        ({"name": "a b", "command": "x"}, '"name" must be'),
        ({"name": "a", "command": 3}, '"command" must be'),
        ({"name": "a", "command": "x", "params": {}}, "'params' is none of name, command"),
        ({"name": "a", "command": "x", "parameters": []}, '"parameters" must be'),
        ({"name": "a", "command": "'"}, "No closing quotation"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path: Path, value: Any, expected: str) -> None:
    path = tmp_path / "tools.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(UsageError, match="--tool") as caught:
        read_tools(str(path))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", "--tool must be NAME=COMMAND"),
        ("nowhere.json", "nowhere.json cannot be read"),
        ("a(b: float)=cat", "where TYPE is string, number,"),
        ("a(b c)=cat", "'b c' is no NAME"),
    ],
)
def test_a_line_that_is_wrong_says_what_it_may_be(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_tools(text)
    assert expected in str(caught.value)


def test_commands_get_the_arguments_on_stdin() -> None:
    back = tools(f"back(a, b)={python('import sys; print(sys.stdin.read()[::-1])')}")
    assert back.run(call("back", '{"a": 1}')) == '}1 :"a"{'
    with pytest.raises(UsageError, match="twice"):
        tools("a=b", "a=c")


@pytest.mark.parametrize(
    ("specification", "name", "problem"),
    [
        (f"a={python('raise SystemExit(3)')}", "a", "exit status 3"),
        (f"a={python('raise SystemExit(chr(34) + chr(27))')}", "a", 'exit status 1: "\x1b'),
        ("a=./no-such-program", "a", "./no-such-program: No such file or directory"),
        ("a=cat", "b", "there is no such tool; there is a"),
    ],
)
def test_failures_are_told_to_the_model_and_shown(
    specification: str, name: str, problem: str
) -> None:
    one = made(specification, name=name)
    assert (one.problem, json.loads(one.result)) == (problem, {"error": problem})
    assert one.describe() == f"{name}: {problem}".replace("\x1b", "\\x1b")


def test_a_command_that_takes_too_long_is_ended() -> None:
    one = made("a=sleep 60", timeout_s=0.05)
    assert one.describe() == "a: ended after 0.05 s without a result"


def test_what_a_command_printed_is_shown_shortened_and_without_its_control_characters() -> None:
    assert made("a=echo 85").describe() == "a gave 85"
    assert made("a=true").describe() == "a gave nothing"
    code = 'import sys; sys.stdout.buffer.write(bytes([27, 255]) + b"\\n." * 20)'
    one = made(f"a={python(code)}")
    assert one.describe().split("\n") == [
        "a gave 21 lines:",
        "  \\x1b\ufffd",
        *["  ."] * 7,
        "  and 13 more",
    ]
    assert one.result.count("\n") == 20


def test_a_command_runs_only_after_a_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asking = CommandTools(("a=echo ran",), needs_yes=True, can_ask=True)
    asked: list[str] = []
    for answer, expected in ((True, "ran"), (False, '{"error": "the user refused this call"}')):

        def confirm(text: str, err: bool, answer: bool = answer) -> bool:
            asked.append(text)
            return answer

        monkeypatch.setattr("click.confirm", confirm)
        assert asking.run(call("a", "{}")) == expected
        question = capsys.readouterr().err + asked.pop()
        assert question == tool_question(["echo", "ran"], call("a", "{}"))


def run(*arguments: str) -> Result:
    flags = ("-m", "nano", "--temperature", "0", "--yes")
    return CliRunner().invoke(main, ["generate", SUM, *flags, *arguments])


def test_generate_shows_the_result_and_json_lists_the_calls() -> None:
    tool = "calculator(expression): Calculates.=echo 1817517"
    shown = run("--tool", tool)
    assert 'tool call: calculator {"expression"' in shown.stderr
    assert "calculator gave 1817517\n" in shown.stderr and "1817517" in shown.stdout
    assert run("--tool", tool, "-q").stderr == ""
    result = run("--tool", tool, "--json")
    (one,) = json.loads(result.stdout)["calls_made"]
    assert (one["name"], one["result"], "error" in one) == ("calculator", "1817517", False)
    assert json.loads(one["arguments"]) == {"expression": "4821*377"} and result.stderr == ""
    failed = run("--tool", "calculator(expression)=false", "--json")
    (one,) = json.loads(failed.stdout)["calls_made"]
    assert (one["error"], "result" in one) == ("exit status 1", False)
