"""Forty columns, dumb terminals and NO_COLOR: what a small window shows can still be read."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pseudo_terminal import Terminal

PROGRAM = (sys.executable, "-m", "mlx_magistral")
COLUMNS = 40
Show = Callable[..., Terminal]


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Show]:
    """Runs a command to its end on a terminal."""
    terminals: list[Terminal] = []

    def begin(*arguments: str, columns: int = COLUMNS, **environment: str) -> Terminal:
        terminal = Terminal(
            tmp_path,
            *arguments,
            program=PROGRAM,
            columns=columns,
            lines=100,
            HF_HOME=str(tmp_path),
            **environment,
        )
        terminals.append(terminal)
        terminal.end()
        return terminal

    yield begin
    for terminal in terminals:
        terminal.kill()


def words_cut(terminal: Terminal) -> list[str]:
    """Lines that the window itself broke; paths and commands are left whole, to be copied."""
    cut = []
    is_whole = False  # in a line that is left whole, of which a row may be the second or third
    for row in terminal.everything.splitlines():
        is_whole = is_whole or "/" in row or row.startswith("  mlx-magistral ")
        if len(row) < COLUMNS:
            is_whole = False
        elif not is_whole:
            cut.append(row)
    return cut


@pytest.mark.parametrize(
    "command",
    [
        ["doctor"],
        ["list"],
        ["show", "nano"],
        ["fit"],
        ["fit", "--memory", "32GB"],
        ["pull"],
        ["config"],
        ["cache", "list"],
        ["bench", "-m", "nano", "--prompt-tokens", "20", "--tokens", "4", "--runs", "1"],
    ],
    ids=" ".join,
)
def test_lines_break_between_words(show: Show, command: list[str]) -> None:
    terminal = show(*command)
    assert terminal.shown.strip()
    assert words_cut(terminal) == []


def test_fit_is_a_list_where_its_table_has_no_room(show: Show) -> None:
    assert (
        "weights          context  KV bits" in show("fit", "--context", "8192", columns=100).shown
    )
    narrow = show("fit", "--memory", "32GB", "--context", "8192", "--kv-bits", "16").shown
    assert re.search(r"^4 bits, 13\.26:\n  8,192 tokens, 16-bit KV: 16\.8\d,", narrow, re.M)


def test_the_figures_under_a_reply_break_between_them(show: Show) -> None:
    terminal = show("generate", "-m", "nano", "--temperature", "0", "What is 37 + 48?")
    figures = terminal.shown[terminal.shown.index("prefill ") :].rstrip().splitlines()
    assert re.fullmatch(r"prefill \d+ tok/s · decode [\d.]+ tok/s", figures[0])
    assert [line.split()[0] for line in figures[1:]] == ["first", "thinking", "peak"]


@pytest.mark.parametrize("think", ["full", "short"])
def test_a_dumb_terminal_gets_no_escape_code(show: Show, think: str) -> None:
    question = ["-m", "nano", "--temperature", "0", "--think", think, "What is 37 + 48?"]
    for command in (["generate", *question], ["generate", "--render", *question], ["doctor"]):
        terminal = show(*command, TERM="dumb")
        assert "\x1b" not in terminal.raw
    assert "\x1b" not in show("pull", TERM="dumb").raw


def test_no_color_keeps_the_live_line_and_has_no_colour(show: Show) -> None:
    terminal = show("generate", "-m", "nano", "--render", "What is 37 + 48?", NO_COLOR="1")
    assert not re.search(r"\x1b\[[\d;]*m", re.sub(r"\x1b\[[01]?m", "", terminal.raw))
