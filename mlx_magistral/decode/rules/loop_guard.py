"""The loop guard: ends what only repeats itself, and lets asked-for repetition be.

cycles.py finds what repeats; here is decided whether it repeats too much. Three things count as a
loop: a block repeated verbatim, a block of prose in which one or two numbers count on, and the
same few lines over and over in no fixed order. Grace, in ids, before any of them does:

    a block of 24 symbols or more      three repeats after the first, four in all
    a shorter one                      64 ids while thinking, 240 in an answer
    hardly any letters (tables, code)  1,024 ids
    the prompt holds the block         4,096 ids: it was asked for
"""

from collections import deque
from collections.abc import Callable
from enum import StrEnum

from mlx_magistral.decode.rules.cycles import NUMBER, Cycle, CycleFinder
from mlx_magistral.decode.rules.logits_processors import LogitsProcessor
from mlx_magistral.decode.rules.steering import Act, Place, Verdict
from mlx_magistral.events import FinishReason, Limit
from mlx_magistral.text.reasoning import ParserState

REPEATS = 3  # after the first
LONG_PERIOD = 24
_SHORT_GRACE = {ParserState.REASONING: 64}
_ANSWER_GRACE = 240
_FEW_LETTERS_GRACE = 1024
_ASKED_GRACE = 4096
_ASKED_WORDS = 64

# A block whose numbers count on is a loop if it is mostly prose: tables and logs are not.
_MOST_NUMBERS = 3
_DRIFTING_NUMBERS = 2
_DRIFTING_SYMBOLS = 12

_LINES = 32
_DISTINCT_LINES = 4
_LINE_SYMBOLS = 8

_DIGITS = frozenset(b"0123456789")
_FEW_LETTERS = 3


class OnLoop(StrEnum):
    """What a loop in the thinking leads to; in an answer both CLOSE and STOP end the reply."""

    CLOSE = "close"
    STOP = "stop"
    OFF = "off"


class LoopGuard:
    """Closes the thinking, or ends the reply with LOOP, when it runs in circles."""

    must_see_id = False
    processors: tuple[LogitsProcessor, ...] = ()

    def __init__(
        self, on_loop: OnLoop, prompt_text: str, id_to_bytes: Callable[[int], bytes]
    ) -> None:
        self._on_loop = on_loop
        self._prompt_text = _plain(prompt_text)
        self._id_to_bytes = id_to_bytes
        self._state: ParserState | None = None
        self._begin(None)

    def feed(self, token: int, place: Place) -> Verdict | None:
        """Say so if the latest id closes one repeat too many."""
        if place.state is not self._state:
            self._begin(place.state)
            return None
        if not self._is_loop(token):
            return None
        if place.is_thinking and self._on_loop is OnLoop.CLOSE:
            return Verdict(Act.CLOSE_THINKING, Limit.LOOP)
        return Verdict(Act.END, Limit.LOOP, FinishReason.LOOP)

    def _begin(self, state: ParserState | None) -> None:
        self._state = state
        self._finder = CycleFinder()
        self._pieces: list[bytes] = []  # the bytes of each symbol, digits joined
        self._line: list[bytes] = []
        self._lines: deque[tuple[bytes, int]] = deque(maxlen=_LINES)

    def _is_loop(self, token: int) -> bool:
        piece = self._id_to_bytes(token)
        self._line.append(piece)
        is_number = bool(piece) and _DIGITS.issuperset(piece)
        if is_number and self._finder.symbols and self._finder.symbols[-1] == NUMBER:
            self._pieces[-1] += piece
            return False
        self._pieces.append(piece)
        cycle = self._finder.feed(NUMBER if is_number else token)
        if cycle is not None and self._is_too_much(cycle):
            return True
        return piece.endswith(b"\n") and self._is_line_loop()

    def _is_too_much(self, cycle: Cycle) -> bool:
        period = cycle.period
        # Once a period, so that what looks at the whole block costs O(1) amortised.
        if cycle.matched % period or cycle.matched < REPEATS * period:
            return False
        if cycle.matched < max(self._least_grace(period), self._grace(period)):
            return False
        drifting = self._drifting_numbers(period)
        return not drifting or (drifting <= _DRIFTING_NUMBERS and self._is_prose(period))

    def _least_grace(self, period: int) -> int:
        """What the period alone demands; nothing else is looked at before."""
        if period >= LONG_PERIOD or self._state is None:
            return 0
        return _SHORT_GRACE.get(self._state, _ANSWER_GRACE)

    def _grace(self, period: int) -> int:
        block = b"".join(self._pieces[-period:]).decode("utf-8", "replace")
        if sum(character.isalpha() for character in block) < _FEW_LETTERS:
            return _FEW_LETTERS_GRACE
        return _ASKED_GRACE if self._is_asked_for(block) else 0

    def _is_asked_for(self, block: str) -> bool:
        """Whether the prompt has the block, wherever in it the cycle was noticed."""
        words = _plain(block).split()
        if len(words) > _ASKED_WORDS:
            return False
        turns = (" ".join(words[at:] + words[:at]) for at in range(max(1, len(words))))
        return any(turn in self._prompt_text for turn in turns)

    def _drifting_numbers(self, period: int) -> int:
        """Numbers of the latest whole block that were others a block before."""
        latest = range(len(self._pieces) - 1 - period, len(self._pieces) - 1)
        return sum(
            self._finder.symbols[at] == NUMBER and self._pieces[at] != self._pieces[at - period]
            for at in latest
        )

    def _is_prose(self, period: int) -> bool:
        """Whether the latest block has many words and few numbers."""
        words = sum(any(chr(byte).isalpha() for byte in piece) for piece in self._pieces[-period:])
        numbers = self._finder.symbols[-period:].count(NUMBER)
        return words >= _DRIFTING_SYMBOLS and numbers <= _MOST_NUMBERS

    def _is_line_loop(self) -> bool:
        line, self._line = self._line, []
        text = b"".join(line).strip()
        if not text:
            return False
        self._lines.append((text, len(line)))
        symbols = sum(count for _, count in self._lines)
        return (
            len(self._lines) == _LINES
            and symbols >= _LINES * _LINE_SYMBOLS
            and len({text for text, _ in self._lines}) <= _DISTINCT_LINES
        )


def _plain(text: str) -> str:
    """Lower case, words apart by one space, without marks around them."""
    words = (word.strip(".,;:!?\"'`*()[]{}«»“”") for word in text.lower().split())
    return " ".join(word for word in words if word)
