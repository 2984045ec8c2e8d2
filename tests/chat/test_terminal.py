"""``chat`` on a real pseudo-terminal: what a person sees and what the keys do."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pseudo_terminal import Terminal

from mlx_magistral.chat.commands import COMMANDS

QUESTION = "What is 37 + 48?"
ANSWER = "The sum is 85."
NANO = ("-m", "nano", "--temperature", "0")
Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    terminals: list[Terminal] = []

    def begin(*flags: str, **settings: object) -> Terminal:
        terminals.append(Terminal(tmp_path, *flags, **settings))  # type: ignore[arg-type]
        return terminals[-1]

    yield begin
    for terminal in terminals:
        terminal.kill()


@pytest.mark.parametrize("columns", [80, 40])
def test_thinking_collapses_and_expands_and_ctrl_d_leaves(start: Start, columns: int) -> None:
    terminal = start(*NANO, columns=columns)
    terminal.wait_for_prompt()
    terminal.type(QUESTION + "\r")
    terminal.wait(ANSWER)
    terminal.wait("of 2,048 tokens")
    assert re.search(r"^thought for \d+ s, 35 tokens$", terminal.shown, re.MULTILINE)
    assert "37+48|7+8=15|5" not in terminal.everything
    assert all(len(line) <= columns for line in terminal.shown.splitlines())
    terminal.wait_for_prompt()
    terminal.type("/expand\r")
    terminal.wait("37+48|7+8=15|5")
    terminal.wait_for_prompt()
    terminal.type("\x04")
    assert terminal.end() == 0


def test_no_color_has_no_colour_and_still_collapses(start: Start) -> None:
    terminal = start(*NANO, NO_COLOR="1")
    terminal.wait_for_prompt()
    terminal.type(QUESTION + "\r")
    terminal.wait(ANSWER)
    terminal.wait_for_prompt()
    assert "37+48|7+8=15|5" not in terminal.everything
    codes = {
        code for each in re.findall(r"\x1b\[([\d;]*)m", terminal.raw) for code in each.split(";")
    }
    assert not {code for code in codes if re.fullmatch(r"2|[349][0-7]|[34]8|10[0-7]", code)}


def test_dumb_terminal_gets_plain_lines(start: Start) -> None:
    terminal = start(*NANO, TERM="dumb")
    terminal.wait_for_prompt()
    terminal.type(QUESTION + "\n")
    terminal.wait("The sum is $\\boxed{85}$.")
    terminal.type("/bye\n")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.raw
    assert "37+48|7+8=15|5" in terminal.everything


def test_ctrl_c_answers_then_stops_and_the_chat_goes_on(
    start: Start, endless_model: Path, tmp_path: Path
) -> None:
    flags = ("--force-think", "--on-loop", "off", "--think-close", "CLOSING")
    terminal = start("-m", str(endless_model), *flags, "--seed", "1", "--think", "short")
    terminal.wait_for_prompt()
    terminal.type("hello\r")
    terminal.wait(lambda text: "s · Ctrl-C answers now" in text)
    terminal.type("\x03")
    terminal.wait("thought for")
    terminal.wait(lambda text: len(text.partition("thought for")[2]) > 150)
    terminal.type("\x03")
    terminal.wait("Stopped; the model sees the answer as far as it came.")
    terminal.wait_for_prompt()
    assert "Ctrl-C" not in terminal.everything and "^C" not in terminal.everything
    terminal.type("/undo\r")
    terminal.wait("Taken back: hello")
    (session,) = (tmp_path / "data" / "sessions").iterdir()
    records = [json.loads(line) for line in session.read_text().splitlines()]
    assert records[-1] == {"record": "rewind", "messages": 0}
    assert records[2]["message"]["content"]


def test_ctrl_c_at_the_prompt_clears_the_line(start: Start) -> None:
    terminal = start(*NANO)
    terminal.wait_for_prompt()
    terminal.type("never mind")
    terminal.wait("> never mind")
    terminal.type("\x03")
    terminal.wait_for_prompt()
    terminal.type(QUESTION + "\r")
    terminal.wait(ANSWER)


def test_several_lines_are_one_message(start: Start, tmp_path: Path) -> None:
    terminal = start(*NANO)
    terminal.wait_for_prompt()
    terminal.type("a\x1b\rb\\\rc\x1b[200~\nd\ne\x1b[201~\r")
    terminal.wait("thought for")
    (session,) = (tmp_path / "data" / "sessions").iterdir()
    question = json.loads(session.read_text().splitlines()[1])["message"]["content"]
    assert question == "a\nb\nc\nd\ne"


def test_a_narrow_window_marks_lines_of_their_own_and_indents_the_help(start: Start) -> None:
    terminal = start(*NANO, columns=40)
    terminal.wait_for_prompt()
    terminal.type("\x1b[200~" + "word " * 12 + "\nsecond\x1b[201~")
    terminal.wait(". second")
    shown = [line for line in terminal.shown.splitlines() if "word" in line]
    assert [line[:2] for line in shown] == ["> ", "  "]
    terminal.type("\x03/help\r")
    terminal.wait("Ctrl-D\nleaves.")
    assert (
        "/file [PATH|off]\n    Attach a text file to the next\n    message.\n"
        in terminal.everything
    )


def test_ctrl_r_finds_what_was_typed_before(start: Start) -> None:
    terminal = start(*NANO)
    terminal.wait_for_prompt()
    for text in ("/seed 7", "/temp 0.5"):
        terminal.type(f"{text}\r")
        terminal.wait("is the seed." if "seed" in text else "is the temperature.")
        terminal.wait_for_prompt()
    terminal.type("\x12see")
    terminal.wait("I-search backward: see")
    terminal.wait(lambda text: text.count("> /seed 7") == 2)
    terminal.type("\r\r")
    terminal.wait(lambda text: text.count("7 is the seed.") == 2)


def test_tab_completes_and_a_wrong_command_gets_a_hint(start: Start) -> None:
    terminal = start(*NANO)
    terminal.wait_for_prompt()
    terminal.type("/bud\t")
    terminal.wait("> /budget")
    terminal.type(" 7\r")
    terminal.wait("7 tokens of thinking at most.")
    terminal.type("/budgte 8\r")
    terminal.wait("There is no command /budgte. Did you mean /budget?")


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (80, 12)])
def test_tab_after_a_slash_shows_all_commands(start: Start, columns: int, lines: int) -> None:
    terminal = start(*NANO, columns=columns, lines=lines)
    terminal.wait_for_prompt()
    terminal.type("/\t")
    terminal.wait(lambda text: set(COMMANDS) <= set(terminal.shown.split()))


def test_a_resumed_session_shows_its_turns_and_has_its_kv(start: Start) -> None:
    first = start(*NANO)
    first.wait_for_prompt()
    first.type(QUESTION + "\r")
    first.wait(ANSWER)
    first.wait_for_prompt()
    first.type("\x04")
    assert first.end() == 0
    again = start("--continue", "--temperature", "0")
    again.wait(f"> {QUESTION}\n{ANSWER}")
    again.wait_for_prompt()
    again.type("now add 5\r")
    again.wait("The sum is 90.")
    again.wait_for_prompt()
    again.type("/stats\r")
    again.wait("144 of 161 prompt tokens were cached")


def test_edit_asks_the_changed_question_instead(start: Start, tmp_path: Path) -> None:
    terminal = start(*NANO)
    terminal.wait_for_prompt()
    terminal.type("What is 37 + 4?\r")
    terminal.wait("The sum is 41.")
    terminal.wait_for_prompt()
    terminal.type("/edit\r")
    terminal.wait(lambda text: terminal.shown.count("> What is 37 + 4?") == 2)
    terminal.type("\x7f8?\r")
    terminal.wait(ANSWER)
    terminal.wait_for_prompt()
    terminal.type(f"/save {tmp_path}/out.md\r")
    terminal.wait("Written:")
    assert (tmp_path / "out.md").read_text().startswith(f"> {QUESTION}\n")


def test_no_log_writes_nothing(start: Start, tmp_path: Path) -> None:
    terminal = start(*NANO, "--no-log")
    terminal.wait_for_prompt()
    terminal.type(QUESTION + "\r")
    terminal.wait(ANSWER)
    terminal.wait_for_prompt()
    terminal.type("\x04")
    assert terminal.end() == 0
    assert not (tmp_path / "data").exists() and not (tmp_path / "cache").exists()


def test_an_error_is_a_line_and_the_chat_goes_on(start: Start) -> None:
    terminal = start(*NANO, "--context", "195")
    terminal.wait_for_prompt()
    terminal.type("word " * 300 + "\r")
    terminal.wait("error: The prompt has")
    terminal.wait("/clear begins a conversation")
    terminal.wait_for_prompt()
    terminal.type(QUESTION + "\r")
    terminal.wait(ANSWER)
    terminal.wait("The context is nearly full")
