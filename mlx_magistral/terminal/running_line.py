"""RunningLine: what a reply is doing, as the one line that is drawn under it while it runs.

thinking 1:23 · 1,540 tokens · 20 tok/s · Ctrl-C answers now
"""

import time
from collections.abc import Callable
from enum import StrEnum

from mlx_magistral.events import ContentDelta, Event, ReasoningDelta, ToolCallDelta
from mlx_magistral.terminal.times import TimeLeft, elapsed

# A rate of less time says more about the clock than about the model.
_RATE_AFTER_S = 0.5


class Phase(StrEnum):
    """What goes on, in the word that is shown."""

    LOADING = "loading the model"
    READING = "reading the prompt"
    THINKING = "thinking"
    ANSWERING = "answering"
    CALLING = "calling a tool"


class RunningLine:
    """Feed it every event of a reply; ``text`` is the line at this moment.

    ``answers_now`` says whether Ctrl-C ends the thinking first, or the reply at once.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, *, answers_now: bool = True
    ) -> None:
        self._clock = clock
        self._answers_now = answers_now
        self._phase = Phase.READING
        self._since = clock()
        self._tokens = 0  # of this phase
        self._all_tokens = 0
        self._first: float | None = None  # when the first id came
        self._read: tuple[int, int] | None = None
        self._left = TimeLeft()

    def feed(self, event: Event) -> None:
        """Take note of an event; the last one of a reply changes nothing."""
        match event:
            case ReasoningDelta(tokens=tokens):
                self._came(Phase.THINKING, tokens)
            case ContentDelta(tokens=tokens):
                self._came(Phase.ANSWERING, tokens)
            case ToolCallDelta():
                self._came(Phase.CALLING, 1)

    def loading(self) -> None:
        """The model is being read."""
        self._enter(Phase.LOADING)

    def reading(self, done: int, total: int) -> None:
        """So many ids of the prompt are computed."""
        self._enter(Phase.READING)
        self._read = done, total

    def interrupted(self) -> None:
        """Ctrl-C was pressed: the next one stops the reply."""
        self._answers_now = False

    def thought(self) -> str:
        """The thinking that goes on, in the words that stay when it is over."""
        seconds = self._clock() - self._since
        return f"thought for {elapsed(seconds)}, {_count(self._tokens)}"

    def text(self, columns: int) -> str:
        """The line, at most ``columns`` wide; what matters least is left out first."""
        now = self._clock()
        head = f"{self._phase} {elapsed(now - self._since)}"
        hint = "Ctrl-C stops"
        if self._phase is Phase.THINKING and self._answers_now:
            hint = "Ctrl-C answers now"
        middle = self._progress(now)
        while middle and len(" · ".join([head, *middle, hint])) > columns:
            middle.pop()
        parts = [head, *middle, hint]
        return " · ".join(parts if len(" · ".join(parts)) <= columns else parts[:1])[:columns]

    def _progress(self, now: float) -> list[str]:
        """How far it is, most telling first."""
        if self._phase is Phase.READING:
            if self._read is None:
                return []
            done, total = self._read
            left = self._left.seconds(now, done, total)
            counted = [f"{done:,} of {total:,} tokens"]
            return counted if left is None else [*counted, f"{elapsed(left)} left"]
        if self._first is None:
            return []
        parts = [_count(self._tokens)]
        if now - self._first >= _RATE_AFTER_S:
            parts.append(f"{self._all_tokens / (now - self._first):,.0f} tok/s")
        return parts

    def _came(self, phase: Phase, tokens: int) -> None:
        self._enter(phase)
        if self._first is None:
            self._first = self._clock()
        self._tokens += tokens
        self._all_tokens += tokens

    def _enter(self, phase: Phase) -> None:
        if phase is not self._phase:
            self._phase, self._since, self._tokens = phase, self._clock(), 0


def _count(tokens: int) -> str:
    return "1 token" if tokens == 1 else f"{tokens:,} tokens"
