"""Events -> terminal. The answer goes to stdout, everything else (thinking, figures) to stderr.

Sees events only: no token ids, no model, no cache. Colour and live lines appear only where the
stream is a terminal that can show them; there the words wrap, and a line under the text says what
goes on.
"""

import io
import os
import stat
import time
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TextIO

import click

from mlx_magistral.events import ContentDelta, Event, Finished, ReasoningDelta, ToolCallDelta
from mlx_magistral.terminal.figures import fold, stats_parts
from mlx_magistral.terminal.pace import Pace
from mlx_magistral.terminal.running_line import RunningLine
from mlx_magistral.terminal.size import terminal_size

if TYPE_CHECKING:
    from mlx_magistral.terminal.live import LiveRegion


class ThinkMode(StrEnum):
    """How much of the thinking is shown."""

    FULL = "full"
    SHORT = "short"
    HIDE = "hide"


class Part(Protocol):
    """One text of a reply on its way to a stream: as it comes, with wrapped words, or rendered."""

    def add(self, text: str) -> None: ...
    def draw(self) -> None: ...
    def close(self) -> None: ...


class Display:
    """Shows one reply. Feed it every event, then ``close()``, also after an error.

    ``is_quiet`` leaves the answer alone, ``answers_now`` is RunningLine's.
    """

    def __init__(
        self,
        stdout: TextIO,
        stderr: TextIO,
        *,
        think: ThinkMode = ThinkMode.FULL,
        is_rendered: bool = False,
        has_stats: bool = True,
        is_quiet: bool = False,
        answers_now: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._stderr = stderr
        self._think = ThinkMode.HIDE if is_quiet else think
        self._has_colour = can_style(stderr)
        self._has_stats = has_stats and not is_quiet and stderr.isatty()
        self._running = RunningLine(clock, answers_now=answers_now)
        self._pace = Pace(clock)
        aside = None if is_quiet else _region(stderr)
        main = _region(stdout)
        self._thoughts = _part(stderr if self._think is ThinkMode.FULL else None, aside, self._dim)
        self._answer = _part(stdout, main, is_rendered=is_rendered)
        self._calls = _part(None if is_quiet else stderr, aside)
        # The running line is on stderr. A pipe's reader may draw the answer on the same terminal.
        self._aside, self._main = aside, main if aside is not None else None
        if aside is not None and _is_file(stdout):
            self._main, self._answer = aside, _Passing(stdout, aside)
        self._current: Part | None = None
        self._under: LiveRegion | None = None

    def feed(self, event: Event) -> None:
        """Show what an event says, if not at once then with one of the next."""
        match event:
            case ReasoningDelta(text=text):
                self._go_on_with(self._thoughts, self._aside)
                self._thoughts.add(text)
            case ContentDelta(text=text):
                self._go_on_with(self._answer, self._main)
                self._answer.add(text)
            case ToolCallDelta(name=name, arguments=arguments):
                lead = "\n" if self._current is self._calls else ""
                self._go_on_with(self._calls, self._aside)
                self._calls.add(f"{lead}tool call: {name} " if name is not None else "")
                self._calls.add(arguments)
            case Finished():
                self.close()
                if self._has_stats:
                    lines = fold(stats_parts(event), terminal_size()[0])
                    _write(self._stderr, self._dim("\n".join(lines)) + "\n")
                return
        self._running.feed(event)
        self._pace.draw(self._draw)

    def interrupted(self) -> None:
        """Ctrl-C was pressed. May be called in a signal handler."""
        self._running.interrupted()

    def close(self) -> None:
        """End open lines; a second call changes nothing."""
        self._go_on_with(None, None)

    def _draw(self) -> None:
        if self._under is not None:
            line = self._dim(self._running.text(self._under.columns))
            self._under.foot = [line] if isinstance(self._current, _Passing) else ["", line]
        if self._current is not None:
            self._current.draw()

    def _go_on_with(self, part: Part | None, under: "LiveRegion | None") -> None:
        """Leave the part that is over on the screen; the running line is under the next."""
        if part is self._current:
            return
        if self._under is not None:
            self._under.foot = []
        if self._current is not None:
            self._current.close()
        if self._under is not None:
            self._under.draw([])
        if self._current is self._thoughts and self._think is not ThinkMode.HIDE:
            is_short = self._think is ThinkMode.SHORT
            _write(self._stderr, f"{self._dim(self._running.thought()) if is_short else ''}\n")
        self._current, self._under = part, under

    def _dim(self, text: str) -> str:
        return click.style(text, dim=True) if self._has_colour else text


def can_style(stream: TextIO) -> bool:
    """Whether escape codes belong on this stream (NO_COLOR as no-color.org defines it)."""
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not is_plain


def can_redraw(stream: TextIO) -> bool:
    """Whether a line on this stream can be written over."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class _Passing:
    """Text that is passed on as it comes, with a line end after it; None takes it in silence."""

    def __init__(self, stream: TextIO | None, under: "LiveRegion | None" = None) -> None:
        self._stream = stream
        self._under = under
        self._last = "\n"

    def add(self, text: str) -> None:
        if self._stream is not None and text:
            _write(self._stream, text)
            self._last = text[-1]

    def draw(self) -> None:
        if self._under is not None:
            self._under.draw([])

    def close(self) -> None:
        if self._last != "\n":
            self.add("\n")


def _part(
    stream: TextIO | None,
    region: "LiveRegion | None",
    style: Callable[[str], str] = str,
    *,
    is_rendered: bool = False,
) -> Part:
    """How a text is shown on a stream, which is a terminal where there is a region."""
    if region is None or stream is None:
        return _Passing(stream, region)
    if is_rendered:
        from mlx_magistral.terminal.answer import LiveAnswer

        return LiveAnswer(region, has_colour=can_style(stream))
    from mlx_magistral.terminal.live_text import LiveText

    return LiveText(region, style)


def _region(stream: TextIO) -> "LiveRegion | None":
    if not can_redraw(stream):
        return None
    from mlx_magistral.terminal.live import LiveRegion

    return LiveRegion(stream)


def _is_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except io.UnsupportedOperation:
        return False


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()
