"""ReplyView: one reply on a terminal. Its thinking is live and dim and shrinks to one line when the
answer starts; of the answer, finished blocks are written for good and the last one is live. The
line under it says what goes on.

Where the cursor cannot be moved, or nothing is a terminal, display.py's Display does it.
"""

import time
from collections.abc import Callable
from typing import TextIO

import click

from mlx_magistral.chat.worker import Prefilling, Tick
from mlx_magistral.events import ContentDelta, Event, Finished, ReasoningDelta, ToolCallDelta
from mlx_magistral.terminal.answer import LiveAnswer
from mlx_magistral.terminal.display import ThinkMode
from mlx_magistral.terminal.live import LiveRegion, wrap
from mlx_magistral.terminal.pace import Pace
from mlx_magistral.terminal.running_line import RunningLine
from mlx_magistral.terminal.size import terminal_size

# A reply that begins sooner has no line before it.
_WAIT_SHOWN_S = 0.5
_THOUGHT_CHARACTERS = 20_000


class ReplyView:
    """Feed it every event, then ``close()``, also after an error."""

    def __init__(
        self,
        stream: TextIO,
        think: ThinkMode,
        *,
        has_colour: bool,
        size: Callable[[], tuple[int, int]] = terminal_size,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._live = LiveRegion(stream, size)
        self._think = think
        self._has_colour = has_colour
        self._clock = clock
        self._started = clock()
        self._pace = Pace(clock)
        self._running = RunningLine(clock)
        self._thoughts = ""
        self._is_thinking = self._has_begun = False
        self._answer = LiveAnswer(self._live, has_colour=has_colour)
        self._calls: list[str] = []

    def feed(self, event: Event | Prefilling | Tick) -> None:
        match event:
            case Tick(is_loading=True):
                self._running.loading()
            case Tick():
                pass
            case Prefilling(done=done, total=total):
                self._running.reading(done, total)
            case ReasoningDelta(text=text):
                self._is_thinking = True
                self._thoughts = (self._thoughts + text)[-_THOUGHT_CHARACTERS:]
            case ContentDelta(text=text):
                self._end_thinking()
                self._answer.add(text)
            case ToolCallDelta(name=name, arguments=arguments):
                self._end_thinking()
                if self._answer:
                    self._live.foot = []
                    self._answer.close()
                if name is not None:
                    self._calls.append(f"tool call: {name} ")
                self._calls[-1] += arguments
            case Finished():
                self.close()
                return
        if isinstance(event, Tick | Prefilling):
            if not self._has_begun and self._clock() - self._started < _WAIT_SHOWN_S:
                return
        else:
            self._has_begun = True
            self._running.feed(event)
        self._pace.draw(self._draw)

    def interrupted(self) -> None:
        """Ctrl-C was pressed. May be called in a signal handler."""
        self._running.interrupted()

    def close(self) -> None:
        """Leave what came so far on the screen; a second call changes nothing."""
        self._live.foot = []
        self._end_thinking()
        self._answer.close()
        self._live.draw([])
        for call in self._calls:
            self._live.commit([*self._dim(wrap(call, self._live.columns)), ""])
        self._calls = []

    def _draw(self) -> None:
        is_thought_shown = self._is_thinking and self._think is ThinkMode.FULL
        lead = [""] if self._answer or is_thought_shown else []
        self._live.foot = [*lead, *self._dim([self._running.text(self._live.columns)])]
        if self._answer:
            self._answer.draw()
            return
        lines: list[str] = []
        if is_thought_shown:
            # Whole lines of the text, enough to fill the window, so that none changes its breaks.
            enough = len(self._thoughts) - self._live.window * self._live.columns
            start = self._thoughts.rfind("\n", 0, max(enough, 0)) + 1
            lines = wrap(self._thoughts[start:].strip("\n"), self._live.columns)
        self._live.draw(self._dim(lines[-self._live.window :]))

    def _end_thinking(self) -> None:
        if not self._is_thinking:
            return
        self._is_thinking = False
        self._live.foot = []
        is_shown = self._think is not ThinkMode.HIDE
        lines = wrap(self._running.thought(), self._live.columns)
        self._live.commit([*self._dim(lines), ""] if is_shown else [])

    def _dim(self, lines: list[str]) -> list[str]:
        if not self._has_colour:
            return lines
        return [click.style(line, dim=True) if line else "" for line in lines]
