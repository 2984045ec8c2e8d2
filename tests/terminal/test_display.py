"""What a terminal and a pipe get to see of a reply; a fake clock, no model."""

import io

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
DIM, RESET, CLEAR = "\x1b[2m", "\x1b[0m", "\r\x1b[K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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


def test_terminal_gets_dim_thinking_and_a_stats_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out, err = shown(Terminal(), Terminal(), REPLY)
    assert out == "It is 7.\n"
    assert err.startswith(f"{DIM}3+4{RESET}{DIM}=7{RESET}\n\n{DIM}prefill 40 tok/s · decode 12.3")
    assert "first token 0.25 s · thinking 4 + answer 3 tokens · peak 2.00 GB" in err


def test_short_is_one_live_line_that_collapses() -> None:
    _, err = shown(Terminal(), Terminal(), REPLY, ThinkMode.SHORT)
    live = f"{CLEAR}{DIM}thinking… 1 token, 0 s{RESET}{CLEAR}{DIM}thinking… 3 tokens, 3 s{RESET}"
    assert err.startswith(f"{live}{CLEAR}{DIM}thought for 6 s, 3 tokens{RESET}\n")


def test_short_off_a_terminal_is_the_final_line_alone() -> None:
    _, err = shown(io.StringIO(), io.StringIO(), REPLY, ThinkMode.SHORT)
    assert err == "thought for 6 s, 3 tokens\n"


def test_hide_shows_no_thinking() -> None:
    assert shown(io.StringIO(), io.StringIO(), REPLY, ThinkMode.HIDE) == ("It is 7.\n", "")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_escape_codes_where_they_are_not_wanted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    for think in ThinkMode:
        assert "\x1b" not in "".join(shown(Terminal(), Terminal(), REPLY, think))


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
