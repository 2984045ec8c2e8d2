"""The question before a tool runs: what is shown, and the real program in a pseudo-terminal."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pseudo_terminal import Terminal

from mlx_magistral.cli.tool_question import tool_question
from mlx_magistral.events import ToolCall

GENERATE = (sys.executable, "-m", "mlx_magistral", "generate")
# Ctrl-C is typed only where no reply runs, so it is the question that gets it.
QUESTION = "What is 4821 * 377?"


def test_command_and_arguments_are_shown_whole() -> None:
    call = ToolCall("id0000000", "store", json.dumps({"text": "x" * 300, "größe": [1, 2]}))
    question = tool_question(["python", "a b.py"], call, columns=40)
    lines = question.split("\n")
    assert lines[:2] == ["store wants to run:", "  python 'a b.py'"]
    assert lines[-1] == "Run it?" and all(len(line) <= 40 for line in lines)
    assert '"größe"' in question
    assert "".join(line[2:] for line in lines).count("x" * 300) == 1


@pytest.mark.parametrize(
    "hidden", ["\x1b[2K\r", "\n", "\x07", "\x7f", "\x9b2J", "\u202e", "\u200b", "\ud800"]
)
@pytest.mark.parametrize("is_json", [True, False])
def test_what_a_terminal_would_obey_or_hide_is_an_escape(hidden: str, is_json: bool) -> None:
    text = f"rm{hidden}ls"
    arguments = json.dumps({"a": text}, ensure_ascii=False) if is_json else text
    shown = tool_question(["echo", text], ToolCall("id0000000", "t", arguments), columns=200)
    assert all(each.isprintable() for line in shown.split("\n") for each in line)
    assert "\\" in shown.split("\n")[1] and "rm" in shown.split("\n")[3 + is_json]
    shown.encode()  # a lone surrogate would not


@pytest.fixture
def calculator(tmp_path: Path) -> str:
    """A tool that writes the file ``ran`` when it runs, and says 1817517."""
    script = tmp_path / "calculator.py"
    ran = tmp_path / "ran"
    script.write_text(
        f"import sys; open({str(ran)!r}, 'w').write(sys.stdin.read())\nprint(1817517)"
    )
    return f"calculator(expression)={sys.executable} {script}"


@pytest.fixture
def begun(calculator: str, tmp_path: Path) -> Iterator[Terminal]:
    """``generate`` with nano, which will call the tool."""
    flags = ("-m", "nano", "--temperature", "0", "--tool", calculator, QUESTION)
    terminal = Terminal(tmp_path, *flags, program=GENERATE)
    yield terminal
    terminal.kill()


@pytest.fixture
def program(begun: Terminal, tmp_path: Path) -> Terminal:
    """The same, where it asks."""
    begun.wait("Run it? [y/N]:")
    assert "calculator wants to run:" in begun.shown
    assert re.search(r'^ +"expression": "4821 ?\* ?377"$', begun.shown, re.MULTILINE)
    assert not (tmp_path / "ran").exists()
    return begun


def test_yes_typed_before_the_question_does_not_answer_it(begun: Terminal, tmp_path: Path) -> None:
    begun.type("y\ry\ry")
    begun.wait("Run it? [y/N]:")
    begun.type("\r")
    assert begun.end() == 0
    assert not (tmp_path / "ran").exists()


def test_yes_typed_ahead_in_a_chat_does_not_answer_it(calculator: str, tmp_path: Path) -> None:
    flags = ("-m", "nano", "--temperature", "0", "--tool", calculator)
    terminal = Terminal(tmp_path, *flags, TERM="dumb")
    try:
        terminal.wait_for_prompt()
        terminal.type(f"{QUESTION}\ny\n")
        terminal.wait("Run it? [y/N]:")
        terminal.type("n\n")
        terminal.wait(lambda text: len(re.findall("^>", terminal.shown, re.MULTILINE)) == 2)
        assert not (tmp_path / "ran").exists()
    finally:
        terminal.kill()


def test_yes_runs_the_command_with_its_arguments(program: Terminal, tmp_path: Path) -> None:
    program.type("y\r")
    program.wait("1817517")
    assert program.end() == 0
    assert "expression" in json.loads((tmp_path / "ran").read_text())


@pytest.mark.parametrize("keys", ["n\r", "\r"])
def test_no_goes_on_without_it(program: Terminal, tmp_path: Path, keys: str) -> None:
    program.type(keys)
    assert program.end() == 0
    assert not (tmp_path / "ran").exists()
    assert program.everything.index("Run it? [y/N]:") < program.everything.rindex("decode")


def test_ctrl_c_runs_nothing_and_ends(program: Terminal, tmp_path: Path) -> None:
    program.type("\x03")
    assert program.end() == 130
    assert not (tmp_path / "ran").exists()
    assert "Traceback" not in program.everything
