"""Steering: the rules of one reply, and the one state machine that tells them where it is.

Sees each id once, drawn or forced, and says what follows: ids that are forced, processors of the
next draw, or the end. Rules decide; what closing the thinking means is written here alone.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from mlx_magistral.decode.rules.logits_processors import Ban, LogitsProcessor
from mlx_magistral.events import Event, FinishReason, Limit, TokenLogprob
from mlx_magistral.text.reasoning import ParserState, ReasoningParser


class Act(Enum):
    """What a rule can ask for."""

    CLOSE_THINKING = auto()
    WRITE = auto()
    END = auto()


@dataclass(frozen=True)
class Verdict:
    """A rule's decision about a reply, and the limit that made it, if one did.

    ``tokens`` are the ids that WRITE puts in the place of draws.
    """

    act: Act
    limit: Limit | None = None
    reason: FinishReason = FinishReason.STOP
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where the next id falls, and the ids of thinking so far."""

    state: ParserState
    reasoning_tokens: int = 0

    @property
    def is_thinking(self) -> bool:
        return self.state is ParserState.REASONING


class Rule(Protocol):
    """Looks at the ids of one reply and may bend what follows."""

    @property
    def processors(self) -> tuple[LogitsProcessor, ...]:
        """What holds for the next draw."""

    @property
    def must_see_id(self) -> bool:
        """Whether the next draw has to wait until the current id is known."""

    def feed(self, token: int, place: Place) -> Verdict | None:
        """Take the next id of the reply; ``place`` is where the one after it falls."""


@dataclass(frozen=True)
class ThinkTokens:
    """The ids that open and close the thinking, and the phrase that leads to a forced close."""

    open: int
    close: int
    phrase: tuple[int, ...] = ()


class Steering:
    """Feeds the parser and the rules. After each ``feed`` its attributes hold for what follows."""

    def __init__(
        self,
        parser: ReasoningParser,
        think: ThinkTokens,
        rules: Sequence[Rule] = (),
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._parser = parser
        self._think = think
        self._rules = rules
        self._is_closed = False
        self._events: list[Event] = []
        self._clock = clock
        self._seen_at: float | None = None  # when the latest id was seen, while it thinks
        self.reasoning_s = 0.0
        self.forced: tuple[int, ...] = ()
        self.ended: FinishReason | None = None
        self.limit: Limit | None = None

    @property
    def place(self) -> Place:
        return Place(self._parser.state, self._parser.reasoning_tokens)

    @property
    def state(self) -> ParserState:
        """Where the next id falls."""
        return self._parser.state

    @property
    def processors(self) -> tuple[LogitsProcessor, ...]:
        """What holds for the next draw; thinking that was closed by force stays closed."""
        own = (Ban(self._think.open),) if self._is_closed else ()
        return sum((rule.processors for rule in self._rules), own)

    @property
    def must_see_id(self) -> bool:
        return any(rule.must_see_id for rule in self._rules)

    def feed(self, token: int, logprob: TokenLogprob | None = None) -> None:
        """Take the next id, the first of ``forced`` where there are any.

        The first rule with a verdict has it; what that forces comes after what is forced already.
        """
        self._events += self._parser.feed(token, logprob)
        self.forced = self.forced[1:]
        place = self.place
        self._take_time(place.is_thinking)
        verdicts = [rule.feed(token, place) for rule in self._rules]
        for verdict in verdicts:
            if verdict is not None:
                self._apply(verdict, place)
                return

    def take_events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def flush(self) -> list[Event]:
        """The last events, when the reply has ended."""
        return self.take_events() + self._parser.flush()

    def _take_time(self, is_thinking: bool) -> None:
        now = self._clock()
        if self._seen_at is not None:
            self.reasoning_s += now - self._seen_at
        self._seen_at = now if is_thinking else None

    def _apply(self, verdict: Verdict, place: Place) -> None:
        if verdict.act is Act.END:
            self.ended = verdict.reason
            self.limit = verdict.limit
        elif verdict.act is Act.WRITE:
            self.forced += verdict.tokens
        elif place.is_thinking and not self._is_closed:
            self._is_closed = True
            self.limit = verdict.limit
            self.forced += (*self._think.phrase, self._think.close)
