"""Events -> terminal. The answer goes to stdout, everything else (thinking, stats) to stderr.

Sees events only: no token ids, no model, no cache. Colour and live lines appear only where the
stream is a terminal that can show them.
"""

import os
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol, TextIO

import click

from mlx_magistral.events import ContentDelta, Event, Finished, ReasoningDelta, ToolCallDelta
from mlx_magistral.terminal.size import terminal_size

_LIVE_LINE_S = 0.1
_CLEAR_LINE = "\r\x1b[K"


class ThinkMode(StrEnum):
    """How much of the thinking is shown."""

    FULL = "full"
    SHORT = "short"
    HIDE = "hide"


class Answer(Protocol):
    """Where the answer's text goes: raw text, or rendered Markdown."""

    def write(self, text: str) -> None: ...
    def close(self) -> None: ...


class Display:
    """Shows one reply. Feed it every event, then ``close()``, also after an error."""

    def __init__(
        self,
        stdout: TextIO,
        stderr: TextIO,
        *,
        think: ThinkMode = ThinkMode.FULL,
        is_rendered: bool = False,
        has_stats: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._stderr = stderr
        self._is_fancy = can_style(stderr)
        self._has_stats = has_stats and stderr.isatty()
        self._thinking: _Thinking = _THINKING[think](stderr, self._is_fancy, clock)
        self._answer: Answer = (
            _RenderedAnswer(stdout) if is_rendered and can_redraw(stdout) else _RawAnswer(stdout)
        )
        self._is_in_tool_call = False

    def feed(self, event: Event) -> None:
        match event:
            case ReasoningDelta():
                self._thinking.feed(event)
            case ContentDelta(text=text):
                self._thinking.close()
                self._answer.write(text)
            case ToolCallDelta():
                self._thinking.close()
                self._show_tool_call(event)
            case Finished():
                self.close()
                if self._has_stats:
                    lines = fold(stats_parts(event), terminal_size()[0])
                    _write(self._stderr, _dim("\n".join(lines), self._is_fancy) + "\n")

    def close(self) -> None:
        """End open lines; a second call changes nothing."""
        self._thinking.close()
        self._answer.close()
        if self._is_in_tool_call:
            self._is_in_tool_call = False
            _write(self._stderr, "\n")

    def _show_tool_call(self, delta: ToolCallDelta) -> None:
        if delta.name is not None:
            lead = "\n" if self._is_in_tool_call else ""
            _write(self._stderr, f"{lead}tool call: {delta.name} ")
            self._is_in_tool_call = True
        _write(self._stderr, delta.arguments)


def can_style(stream: TextIO) -> bool:
    """Whether escape codes belong on this stream (NO_COLOR as no-color.org defines it)."""
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not is_plain


def can_redraw(stream: TextIO) -> bool:
    """Whether a line on this stream can be written over."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def fold(parts: Sequence[str], columns: int) -> list[str]:
    """Parts joined by dots, in as many lines as the window needs."""
    lines = [parts[0]]
    for part in parts[1:]:
        joined = f"{lines[-1]} · {part}"
        if len(joined) <= columns:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def stats_parts(finished: Finished) -> list[str]:
    """The figures under a reply: rates, time to first token, token counts, peak memory."""
    usage, timings = finished.usage, finished.timings
    answer_tokens = usage.completion_tokens - usage.reasoning_tokens
    parts = [
        f"prefill {timings.prefill_tps:.0f} tok/s",
        f"decode {timings.decode_tps:.1f} tok/s",
        f"first token {timings.ttft_s:.2f} s",
        f"thinking {usage.reasoning_tokens} + answer {answer_tokens} tokens",
        f"peak {_readable(timings.peak_memory_bytes)}",
    ]
    if finished.reason not in ("stop", "tool_calls"):
        parts.insert(0, f"ended by {finished.reason}")
    elif finished.limit is not None:
        parts.insert(0, f"thinking closed by {finished.limit}")
    if finished.invalid is not None:
        parts.insert(0, finished.invalid.rstrip("."))
    return parts


class _Thinking:
    """Shows nothing; the two ways of showing something build on it."""

    def __init__(self, stderr: TextIO, is_fancy: bool, clock: Callable[[], float]) -> None:
        self._stderr = stderr
        self._is_fancy = is_fancy
        self._clock = clock
        self._started: float | None = None
        self._tokens = 0

    def feed(self, delta: ReasoningDelta) -> None:
        if self._started is None:
            self._started = self._clock()
            self._tokens = 0
        self._tokens += delta.tokens
        self._show(delta.text)

    def close(self) -> None:
        if self._started is not None:
            self._end(self._clock() - self._started)
            self._started = None

    def _show(self, text: str) -> None:
        pass

    def _end(self, seconds: float) -> None:
        pass


class _FullThinking(_Thinking):
    def _show(self, text: str) -> None:
        _write(self._stderr, _dim(text, self._is_fancy))

    def _end(self, seconds: float) -> None:
        _write(self._stderr, "\n\n")


class _ShortThinking(_Thinking):
    """One live line that collapses to one final line; off a terminal only the final one."""

    _shown_at = float("-inf")

    def _show(self, text: str) -> None:
        now = self._clock()
        if not self._is_fancy or self._started is None or now - self._shown_at < _LIVE_LINE_S:
            return
        self._shown_at = now
        line = f"thinking… {_count(self._tokens)}, {now - self._started:.0f} s"
        _write(self._stderr, _CLEAR_LINE + _dim(line, True))

    def _end(self, seconds: float) -> None:
        line = f"thought for {seconds:.0f} s, {_count(self._tokens)}"
        _write(self._stderr, (_CLEAR_LINE if self._is_fancy else "") + _dim(line, self._is_fancy))
        _write(self._stderr, "\n")


_THINKING = {
    ThinkMode.FULL: _FullThinking,
    ThinkMode.SHORT: _ShortThinking,
    ThinkMode.HIDE: _Thinking,
}


class _RawAnswer:
    """The text as it comes, with a line end after it."""

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout
        self._last = "\n"

    def write(self, text: str) -> None:
        _write(self._stdout, text)
        self._last = text[-1]

    def close(self) -> None:
        if self._last != "\n":
            self._last = "\n"
            _write(self._stdout, "\n")


class _RenderedAnswer:
    """Markdown, redrawn as it grows."""

    def __init__(self, stdout: TextIO) -> None:
        from mlx_magistral.terminal.answer import LiveAnswer, Pace
        from mlx_magistral.terminal.live import LiveRegion

        self._answer = LiveAnswer(LiveRegion(stdout), has_colour=can_style(stdout))
        self._pace = Pace()

    def write(self, text: str) -> None:
        self._answer.add(text)
        self._pace.draw(self._answer.draw)

    def close(self) -> None:
        self._answer.close()


def _readable(nbytes: int) -> str:
    return f"{nbytes / 1e9:.2f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.1f} MB"


def _count(tokens: int) -> str:
    return "1 token" if tokens == 1 else f"{tokens} tokens"


def _dim(text: str, is_fancy: bool) -> str:
    return click.style(text, dim=True) if is_fancy else text


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()
