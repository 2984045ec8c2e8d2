"""What a terminal and a pipe get to see of a reply; a fake clock, no model."""

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pyte
import pytest

from mlx_magistral.events import (
    ContentDelta,
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from mlx_magistral.terminal.display import Display, ThinkMode

FINISHED = Finished(
    FinishReason.STOP,
    Usage(prompt_tokens=10, completion_tokens=7, reasoning_tokens=4),
    Timings(load_s=0.1, ttft_s=0.25, prefill_tps=40, decode_tps=12.34, peak_memory_bytes=2 * 10**9),
)
REPLY: list[Event] = [
    ReasoningDelta("3+4"),
    ReasoningDelta("=7", tokens=2),
    ContentDelta("It is "),
    ContentDelta("7."),
    FINISHED,
]
DIM, RESET = "\x1b[2m", "\x1b[0m"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Screen:
    """What a person sees where stdout and stderr are one terminal, of 80 columns and 24 lines."""

    def __init__(self) -> None:
        self._screen = pyte.HistoryScreen(80, 24, history=1000, ratio=0.5)
        self._screen.set_mode(pyte.modes.LNM)
        self.stream = Terminal()
        self.now = 0.0

    def display(self, think: ThinkMode) -> Display:
        return Display(self.stream, self.stream, think=think, clock=lambda: self.now)

    def feed(self, events: Sequence[Event], think: ThinkMode = ThinkMode.FULL) -> None:
        """One event every three seconds."""
        display = self.display(think)
        for event in events:
            display.feed(event)
            self.now += 3.0
        display.close()

    @property
    def raw(self) -> str:
        return self.stream.getvalue()

    @property
    def text(self) -> str:
        self._screen.reset()
        self._screen.set_mode(pyte.modes.LNM)
        pyte.Stream(self._screen).feed(self.raw)
        above = ["".join(row[x].data for x in range(80)) for row in self._screen.history.top]
        return "\n".join(line.rstrip() for line in [*above, *self._screen.display]).rstrip("\n")

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    return Screen()


def shown(
    stdout: io.StringIO, stderr: io.StringIO, events: list[Event], think: ThinkMode = ThinkMode.FULL
) -> tuple[str, str]:
    """Feed one event every three seconds."""
    now = 0.0
    display = Display(stdout, stderr, think=think, clock=lambda: now)
    for event in events:
        display.feed(event)
        now += 3.0
    display.close()
    return stdout.getvalue(), stderr.getvalue()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_pipes_get_plain_text_and_the_answer_alone_on_stdout() -> None:
    out, err = shown(io.StringIO(), io.StringIO(), REPLY)
    assert out == "It is 7.\n"
    assert err == "3+4=7\n\n"


def test_terminal_gets_dim_thinking_the_answer_and_the_figures(screen: Screen) -> None:
    screen.feed(REPLY)
    assert screen.lines == [
        "3+4=7",
        "",
        "It is 7.",
        "prefill 40 tok/s · decode 12.3 tok/s · first token 0.25 s",
        "thinking 4 + answer 3 tokens · peak 2.00 GB",
    ]
    assert f"{DIM}3+4=7{RESET}" in screen.raw


@pytest.mark.parametrize(
    ("think", "above"), [("full", ["3+4", ""]), ("short", []), ("hide", [])], ids=list(ThinkMode)
)
def test_a_line_under_the_text_says_what_goes_on_in_every_mode(
    screen: Screen, think: str, above: list[str]
) -> None:
    display = screen.display(ThinkMode(think))
    display.feed(ReasoningDelta("3+4", tokens=840))
    assert screen.lines == [*above, "thinking 0 s · 840 tokens · Ctrl-C answers now"]
    screen.now = 83
    display.feed(ReasoningDelta("=7", tokens=700))
    *text, line = screen.lines
    assert text == [each and each + "=7" for each in above]
    assert line == "thinking 1:23 · 1,540 tokens · 19 tok/s · Ctrl-C answers now"
    display.interrupted()
    screen.now = 84
    display.feed(ReasoningDelta("!", tokens=1))
    assert screen.lines[-1] == "thinking 1:24 · 1,541 tokens · 18 tok/s · Ctrl-C stops"
    screen.now = 85
    display.feed(ContentDelta("It is"))
    assert screen.lines[-3:] == ["It is", "", "answering 0 s · 1 token · 18 tok/s · Ctrl-C stops"]
    display.close()
    assert screen.lines[-1] == "It is" and "Ctrl-C" not in screen.text


def test_short_collapses_to_one_line(screen: Screen) -> None:
    screen.feed(REPLY, ThinkMode.SHORT)
    assert screen.lines[:2] == ["thought for 6 s, 3 tokens", "It is 7."]


def test_words_wrap_and_what_has_scrolled_away_is_whole(screen: Screen) -> None:
    words = " ".join(f"word{number}" for number in range(200))
    text = f"\n\n{words}\n\n  indented\n"
    pieces = [text[at : at + 11] for at in range(0, len(text), 11)]
    events = [kind(each) for kind in (ReasoningDelta, ContentDelta) for each in pieces]
    screen.feed([*events, FINISHED])
    shown = screen.text.split("\n")
    assert screen.text.split().count("word123") == 2
    assert " ".join(screen.text.split()).count(words) == 2
    assert all(line == line.rstrip() and "word" in line for line in shown[:15])
    assert shown.count("  indented") == 2 and "Ctrl-C" not in screen.text


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_beside_a_file_the_line_goes_on_and_a_pipe_has_the_terminal_to_itself(
    screen: Screen, tmp_path: Path, kind: str
) -> None:
    read, write = os.pipe()
    target = (tmp_path / "out").open("w") if kind == "file" else os.fdopen(write, "w")
    display = Display(target, screen.stream, clock=lambda: 0.0)
    display.feed(ContentDelta("It is 7."))
    assert screen.lines == (["answering 0 s · 1 token · Ctrl-C stops"] if kind == "file" else [""])
    display.close()
    assert screen.lines == [""]
    target.close()
    written = (tmp_path / "out").read_text() if kind == "file" else os.read(read, 99).decode()
    assert written == "It is 7.\n"


def test_quiet_leaves_the_answer_alone(screen: Screen) -> None:
    calls = [ToolCallDelta(0, "a", "add", ""), ToolCallDelta(0, None, None, "{}")]
    errors = io.StringIO()
    display = Display(screen.stream, errors, is_quiet=True)
    for event in [*REPLY[:-1], *calls, FINISHED]:
        display.feed(event)
    assert (screen.lines, errors.getvalue()) == (["It is 7."], "")


def test_short_off_a_terminal_is_the_final_line_alone() -> None:
    _, err = shown(io.StringIO(), io.StringIO(), REPLY, ThinkMode.SHORT)
    assert err == "thought for 6 s, 3 tokens\n"


def test_hide_shows_no_thinking() -> None:
    assert shown(io.StringIO(), io.StringIO(), REPLY, ThinkMode.HIDE) == ("It is 7.\n", "")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colours_and_on_a_dumb_terminal_no_escape_codes_where_they_are_not_wanted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    for think in ThinkMode:
        out, err = shown(Terminal(), Terminal(), REPLY, think)
        assert not re.search(r"\x1b\[[\d;]*m" if name == "NO_COLOR" else "\x1b", out + err)


def test_answer_that_ends_its_own_line_gets_no_second_line_end() -> None:
    assert shown(io.StringIO(), io.StringIO(), [ContentDelta("a\n")])[0] == "a\n"


def test_reopened_thinking_is_counted_afresh() -> None:
    events = [ReasoningDelta("a"), ContentDelta("b"), ReasoningDelta("c"), ContentDelta("d")]
    _, err = shown(io.StringIO(), io.StringIO(), events, ThinkMode.SHORT)
    assert err == "thought for 3 s, 1 token\n" * 2


def test_tool_calls_are_shown_beside_the_answer() -> None:
    events: list[Event] = [
        ToolCallDelta(0, "a", "add", '{"x"'),
        ToolCallDelta(0, None, None, ": 1}"),
        ToolCallDelta(1, "b", "stop", "{}"),
    ]
    out, err = shown(io.StringIO(), io.StringIO(), events)
    assert out == ""
    assert err == 'tool call: add {"x": 1}\ntool call: stop {}\n'


def test_rendered_answer_is_markdown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        display = Display(stream, io.StringIO(), is_rendered=True)
        display.feed(ContentDelta("**bold**"))
        display.close()
    assert "**" not in terminal.getvalue() and "bold" in terminal.getvalue()
    assert pipe.getvalue() == "**bold**\n"
