"""ReplyView: one reply on a terminal. Its thinking is live and dim and shrinks to one line when the
answer starts; of the answer, finished blocks are written for good and the last one is live.

Where the cursor cannot be moved, or nothing is a terminal, display.py's Display does it.
"""

import time
from collections.abc import Callable
from typing import TextIO

import click

from mlx_magistral.chat.worker import Prefilling, Tick
from mlx_magistral.events import ContentDelta, Event, Finished, ReasoningDelta, ToolCallDelta
from mlx_magistral.terminal.answer import LiveAnswer, Pace
from mlx_magistral.terminal.display import ThinkMode
from mlx_magistral.terminal.live import LiveRegion, wrap
from mlx_magistral.terminal.size import terminal_size

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
        self._thoughts = ""
        self._thinking_since: float | None = None
        self._tokens = 0
        self._answer = LiveAnswer(self._live, has_colour=has_colour)
        self._calls: list[str] = []

    def feed(self, event: Event | Prefilling | Tick) -> None:
        match event:
            case Tick() | Prefilling():
                self._wait(event)
            case ReasoningDelta(text=text, tokens=tokens):
                if self._thinking_since is None:
                    self._thinking_since = self._clock()
                self._thoughts = (self._thoughts + text)[-_THOUGHT_CHARACTERS:]
                self._tokens += tokens
                self._pace.draw(self._draw_thoughts)
            case ContentDelta(text=text):
                self._end_thinking()
                self._answer.add(text)
                self._pace.draw(self._answer.draw)
            case ToolCallDelta(name=name, arguments=arguments):
                self._end_thinking()
                self._answer.close()
                if name is not None:
                    self._calls.append(f"tool call: {name} ")
                self._calls[-1] += arguments
            case Finished():
                self.close()

    def close(self) -> None:
        """Leave what came so far on the screen; a second call changes nothing."""
        self._end_thinking()
        self._answer.close()
        for call in self._calls:
            self._live.commit([*self._dim(wrap(call, self._live.columns)), ""])
        self._calls = []

    def _wait(self, event: Tick | Prefilling) -> None:
        """What takes so long, before the reply begins."""
        if self._tokens or self._answer or self._clock() - self._started < _WAIT_SHOWN_S:
            return
        if isinstance(event, Prefilling):
            if event.done < event.total:
                line = f"reading the prompt: {event.done:,} of {event.total:,} tokens"
                self._live.draw(self._dim(wrap(line, self._live.columns)))
        elif event.is_loading:
            self._live.draw(self._dim(["loading the model…"]))

    def _draw_thoughts(self) -> None:
        if self._think is ThinkMode.HIDE:
            self._live.draw([])
        elif self._think is ThinkMode.SHORT:
            seconds = self._clock() - (self._thinking_since or 0.0)
            line = f"thinking… {seconds:.0f} s, {self._tokens:,} tokens"
            self._live.draw(self._dim(wrap(line, self._live.columns)))
        else:
            # Whole lines of the text, enough to fill the window, so that none changes its breaks.
            enough = len(self._thoughts) - self._live.window * self._live.columns
            start = self._thoughts.rfind("\n", 0, max(enough, 0)) + 1
            lines = wrap(self._thoughts[start:].strip("\n"), self._live.columns)
            self._live.draw(self._dim(lines[-self._live.window :]))

    def _end_thinking(self) -> None:
        if self._thinking_since is None:
            if not self._answer:
                self._live.draw([])
            return
        seconds = self._clock() - self._thinking_since
        self._thinking_since = None
        count = "1 token" if self._tokens == 1 else f"{self._tokens:,} tokens"
        is_shown = self._think is not ThinkMode.HIDE
        line = f"thought for {seconds:.0f} s, {count}"
        self._live.commit([*self._dim(wrap(line, self._live.columns)), ""] if is_shown else [])

    def _dim(self, lines: list[str]) -> list[str]:
        if not self._has_colour:
            return lines
        return [click.style(line, dim=True) if line else "" for line in lines]
