"""The loop guard: ends what only repeats itself, and lets everything else be.

A reply that is cut is lost, and a loop only takes longer: so an honest text is never to be ended,
and what is ended is verbatim repetition alone, of eight times after the first at least and of so
many ids:

    thinking, in prose          256, or 32 times after the first where a number counts on evenly
    thinking, anything else     1,024
    an answer, tool arguments   1,024
    hardly any letters, or two  1,024 while thinking, 4,096 elsewhere
    the prompt holds the block  4,096
    the prompt names a number   that many repeats and a quarter more (4,096 ids while thinking)

While thinking, the same few lines of prose in no fixed order are a loop too. The ids are those of
Magistral's vocabulary, three bytes at least: a vocabulary of shorter ones needs more of them.
"""

from collections import deque
from collections.abc import Callable
from enum import StrEnum

from mlx_magistral.decode.rules.asked import Asked
from mlx_magistral.decode.rules.counting import CountingFinder
from mlx_magistral.decode.rules.cycles import Cycle, CycleFinder
from mlx_magistral.decode.rules.logits_processors import LogitsProcessor
from mlx_magistral.decode.rules.steering import Act, Place, Verdict
from mlx_magistral.events import FinishReason, Limit
from mlx_magistral.text.reasoning import ParserState

REPEATS = 8  # after the first
COUNTING_REPEATS = 32
PROSE_TOKENS = 256
TOKENS = 1024
LONG_TOKENS = 4096
_TOKEN_BYTES = 3
_SLACK = 1.25

_LINES = 64
_DISTINCT_LINES = 4
_LINE_TOKENS = 8

_FEW_LETTERS, _FEW_DISTINCT = 0.25, 2
_PROSE_LETTERS = 0.6
_CODE_MARKS = frozenset("{}<>[];|_\\/")
_PROSE_MARKS = 0.1


class OnLoop(StrEnum):
    """What a loop in the thinking leads to; in an answer both CLOSE and STOP end the reply."""

    CLOSE = "close"
    STOP = "stop"
    OFF = "off"


class LoopGuard:
    """Closes the thinking, or ends the reply with LOOP, when it runs in circles.

    ``asked`` is what the prompt asks for, or its text.
    """

    must_see_id = False
    processors: tuple[LogitsProcessor, ...] = ()

    def __init__(
        self, on_loop: OnLoop, asked: Asked | str, id_to_bytes: Callable[[int], bytes]
    ) -> None:
        self._on_loop = on_loop
        self._asked = Asked(asked) if isinstance(asked, str) else asked
        self._id_to_bytes = id_to_bytes
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
        self._is_thinking = state is ParserState.REASONING
        self._finder = CycleFinder()
        self._counting = CountingFinder(COUNTING_REPEATS, self._id_to_bytes)
        self._line: list[int] = []
        self._lines: deque[tuple[bytes, int]] = deque(maxlen=_LINES)

    def _is_loop(self, token: int) -> bool:
        cycle = self._finder.feed(token)
        if cycle is not None and self._is_too_much(cycle):
            return True
        return self._is_thinking and (self._is_counting_loop(token) or self._is_line_loop(token))

    def _is_too_much(self, cycle: Cycle) -> bool:
        period = cycle.period
        # Once a period, so that what looks at the whole block costs O(1) amortised.
        if cycle.matched % period or cycle.matched < max(REPEATS * period, PROSE_TOKENS):
            return False
        block = self._bytes(period)
        text = block.decode("utf-8", "replace")
        is_data = _has_few_letters(text)
        size = period if is_data else _size(period, len(block))
        repeated = size * cycle.matched // period
        if repeated < max(self._least_tokens(text, is_data), self._asked_tokens(size)):
            return False
        return repeated >= LONG_TOKENS or not self._asked.holds(text)

    def _least_tokens(self, text: str, is_data: bool) -> int:
        """How many repeated ids of such a block are let pass whatever was asked for."""
        if self._is_thinking:
            return PROSE_TOKENS if _is_prose(text) and not is_data else TOKENS
        return LONG_TOKENS if is_data and not text.isspace() else TOKENS

    def _asked_tokens(self, size: float) -> float:
        """How many ids repeats of this size have that the prompt may have asked for."""
        tokens = self._asked.count * size * _SLACK
        return min(tokens, LONG_TOKENS) if self._is_thinking else tokens

    def _is_counting_loop(self, token: int) -> bool:
        block = self._counting.feed(token)
        if block is None:
            return False
        size = _size(block.symbols, block.nbytes)
        return block.repeats * size >= self._asked_tokens(size)

    def _is_line_loop(self, token: int) -> bool:
        self._line.append(token)
        if not self._id_to_bytes(token).endswith(b"\n"):
            return False
        line, self._line = self._bytes(len(self._line)).strip(), []
        if not line:
            return False
        count = len(self._finder.symbols)
        self._lines.append((line, count))
        distinct = {text for text, _ in self._lines}
        return (
            len(self._lines) == _LINES
            and len(distinct) <= _DISTINCT_LINES
            and count - self._lines[0][1] >= _LINES * _LINE_TOKENS
            and _is_prose(b" ".join(distinct).decode("utf-8", "replace"))
            and _LINES >= self._asked.count
        )

    def _bytes(self, count: int) -> bytes:
        """Of so many of the latest ids."""
        return b"".join(map(self._id_to_bytes, self._finder.symbols[-count:]))


def _size(tokens: int, nbytes: int) -> float:
    """Ids of Magistral's vocabulary, about."""
    return min(tokens, nbytes / _TOKEN_BYTES)


def _has_few_letters(text: str) -> bool:
    """Zeros, dashes, empty cells, "AAAA" of base64: where an honest text repeats itself longest."""
    visible = [character for character in text if not character.isspace()]
    letters = [character for character in visible if character.isalpha()]
    return len(letters) <= _FEW_LETTERS * len(visible) or len(set(letters)) <= _FEW_DISTINCT


def _is_prose(text: str) -> bool:
    """Whether it is made of words rather than of code, cells or formulas."""
    visible = [character for character in text if not character.isspace()]
    letters = sum(map(str.isalpha, visible))
    marks = sum(character in _CODE_MARKS for character in visible)
    return letters >= _PROSE_LETTERS * len(visible) and marks <= _PROSE_MARKS * len(visible)
