"""Finds text that repeats itself, one symbol at a time, in O(1) amortised a symbol.

The last place of every run of GRAM symbols is remembered: meeting one again names a candidate
period, which is followed by comparing symbols only, and dropped when one differs. Symbols are ids,
or what a caller puts in their place; nothing is known of their meaning.
"""

from collections.abc import Iterator
from dataclasses import dataclass

GRAM = 4
LONGEST_PERIOD = 2000
# Candidates followed at once; ordinary text has two or three. The one that matched least goes.
_MOST_CANDIDATES = 8


@dataclass(frozen=True)
class Cycle:
    """The last ``matched`` symbols each equal the one ``period`` symbols earlier."""

    period: int
    matched: int


class CycleFinder:
    """Feed symbols; the longest-running cycle that the latest symbol still belongs to."""

    def __init__(self) -> None:
        self.symbols: list[int] = []
        self._last_place: dict[tuple[int, ...], int] = {}
        self._matched: dict[int, int] = {}  # candidate period -> symbols matched

    def feed(self, symbol: int) -> Cycle | None:
        """Append a symbol; the cycle that has matched most periods, if any is followed."""
        symbols = self.symbols
        symbols.append(symbol)
        end = len(symbols)
        for period in list(self._matched):
            if symbols[-1 - period] != symbol:
                del self._matched[period]
                continue
            self._matched[period] += 1
            # Its first period may have matched before it was a candidate: look back, once.
            if self._matched[period] == period:
                self._matched[period] += self._matched_before(period)
        self._note_gram(end)
        if not self._matched:
            return None
        period = max(self._matched, key=lambda each: self._matched[each] / each)
        return Cycle(period, self._matched[period])

    def _note_gram(self, end: int) -> None:
        if end < GRAM:
            return
        gram = tuple(self.symbols[-GRAM:])
        period = end - self._last_place.get(gram, -LONGEST_PERIOD)
        self._last_place[gram] = end
        if period > LONGEST_PERIOD or period in self._matched:
            return
        if len(self._matched) == _MOST_CANDIDATES:
            del self._matched[min(self._matched, key=self._matched.__getitem__)]
        self._matched[period] = GRAM
        if period <= GRAM:
            self._matched[period] += self._matched_before(period)

    def _matched_before(self, period: int) -> int:
        """Symbols that matched right before those counted, at most a period of them."""
        start = len(self.symbols) - self._matched[period]
        return sum(1 for _ in self._matches_back(start, period))

    def _matches_back(self, start: int, period: int) -> Iterator[int]:
        for place in range(start - 1, max(start - 1 - period, period - 1), -1):
            if self.symbols[place] != self.symbols[place - period]:
                return
            yield place
