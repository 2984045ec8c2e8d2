"""A block of prose that comes again and again while a number in it counts on.

That is how a model goes through cases, so it takes very many, evenly counted, to be a loop: where
a number advances now by this and now by that, something is being calculated.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mlx_magistral.decode.rules.cycles import Cycle, CycleFinder

NUMBER = -1

_MOST_NUMBERS = 3
_MOST_COUNTING = 2
_LEAST_WORDS = 12
_DIGITS = frozenset(b"0123456789")


@dataclass(frozen=True)
class CountedBlock:
    """How often a block has come, the first not counted; its symbols and its bytes."""

    repeats: int
    symbols: int
    nbytes: int


class CountingFinder:
    """Feed ids; says so when a block has come ``repeats`` more times than once, and after each.

    A number is one symbol whatever its digits, so that a counter does not hide the cycle.
    """

    def __init__(self, repeats: int, id_to_bytes: Callable[[int], bytes]) -> None:
        self._repeats = repeats
        self._id_to_bytes = id_to_bytes
        self._finder = CycleFinder()
        self._pieces: list[bytes] = []  # the bytes of each symbol

    def feed(self, token: int) -> CountedBlock | None:
        """The block of prose whose last repeat this id completes."""
        piece = self._id_to_bytes(token)
        is_number = bool(piece) and _DIGITS.issuperset(piece)
        if is_number and self._finder.symbols and self._finder.symbols[-1] == NUMBER:
            self._pieces[-1] += piece
            return None
        self._pieces.append(piece)
        cycle = self._finder.feed(NUMBER if is_number else token)
        if cycle is None or cycle.matched % cycle.period:
            return None
        if cycle.matched < self._repeats * cycle.period or not self._counts_on(cycle):
            return None
        nbytes = sum(map(len, self._pieces[-cycle.period :]))
        return CountedBlock(cycle.matched // cycle.period, cycle.period, nbytes)

    def _counts_on(self, cycle: Cycle) -> bool:
        """Whether the block is prose in which one or two numbers advance, and do so evenly."""
        period, end = cycle.period, len(self._pieces) - 1  # the latest number may go on
        places = [at for at in range(end - period, end) if self._finder.symbols[at] == NUMBER]
        words = sum(map(_is_word, self._pieces[-period:]))
        if len(places) > _MOST_NUMBERS or words < _LEAST_WORDS:
            return False
        steps = [self._steps(place, period) for place in places]
        counting = [each for each in steps if each != {0}]
        return 0 < len(counting) <= _MOST_COUNTING and all(len(each) == 1 for each in counting)

    def _steps(self, place: int, period: int) -> set[int]:
        """By how much the number at a place of the block has advanced from block to block."""
        values = [int(self._pieces[place - back * period]) for back in range(self._repeats)]
        return {later - earlier for later, earlier in zip(values, values[1:], strict=False)}


def _is_word(piece: bytes) -> bool:
    return any(byte >= 0x80 or chr(byte).isalpha() for byte in piece)
