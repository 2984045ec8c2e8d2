"""Gate: how many ids to guess, from what a pass costs here and how often guesses came true.

The longest draft is not the best one: each row costs, and is wasted once a guess before it fails.
With acceptance a_1, a_2, … a draft of k ids gives 1 + a_1 + a_1 a_2 + … ids in expectation, and
takes the time of a pass of k + 1 rows; k = 0 is plain decoding. (Leviathan et al., 2023,
arXiv:2211.17192, section 3.3, with measured costs and acceptance in place of constants.)
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

# Guesses of a model or a head, whose every guess costs: more never paid in any of the curves seen.
# DIRECT_ROWS holds up to here.
MOST_DRAFTED = 7
# Guesses of a look-up where text is copied; a pass of 48 rows.
MOST_COPIED = 47
# A gain below this is inside the noise of the cost measurement.
LEAST_GAIN = 1.05
# Guesses older than about this many weigh little: text changes its habits.
_MEMORY = 64
_PRIOR_WEIGHT = 4.0


@dataclass
class Acceptance:
    """A running share of guesses that came true, by whatever tells them apart.

    ``prior`` says what to expect of a key that has not been seen; it counts as four guesses.
    """

    prior: Callable[[Hashable], float]
    _counts: dict[Hashable, tuple[float, float]] = field(default_factory=dict)  # true, all

    def note(self, key: Hashable, is_true: bool) -> None:
        """Take in one guess."""
        true, count = self._counts.get(key, (0.0, 0.0))
        keep = 1 - 1 / _MEMORY
        self._counts[key] = true * keep + is_true, count * keep + 1

    def fade(self) -> None:
        """All that is known counts half as much: nothing was heard of it for long."""
        self._counts = {key: (true / 2, count / 2) for key, (true, count) in self._counts.items()}

    def rate(self, key: Hashable) -> float:
        """The probability that a guess comes true."""
        true, count = self._counts.get(key, (0.0, 0.0))
        return (true + _PRIOR_WEIGHT * self.prior(key)) / (count + _PRIOR_WEIGHT)


@dataclass(frozen=True)
class Costs:
    """Seconds of a pass by its rows, measured at some counts and straight lines in between.

    ``guess_s`` is what each guess costs before the pass: nothing for a look-up. ``wait_s`` is what
    a pass of one row takes longer where the one before it is waited for; more rows include it.
    """

    seconds: Mapping[int, float]
    guess_s: float = 0.0
    wait_s: float = 0.0

    def __call__(self, rows: int) -> float:
        table = self._table
        return table[rows] if rows < len(table) else self._at(rows)

    @cached_property
    def _table(self) -> list[float]:
        return [0.0, *map(self._at, range(1, MOST_COPIED + 2))]

    def _at(self, rows: int) -> float:
        known = self.seconds
        if rows in known:
            return known[rows]
        below = max(each for each in known if each < rows)
        above = min((each for each in known if each > rows), default=None)
        if above is None:
            return known[below] * rows / below
        share = (rows - below) / (above - below)
        return known[below] + share * (known[above] - known[below])


class Draft(NamedTuple):
    """So many ``guesses``, the ids expected of a pass with them, and how much faster that is."""

    guesses: int = 0
    expected: float = 1.0
    gain: float = 1.0


class PassLoad(NamedTuple):
    """What others put into a pass: rows, and the ids expected of them."""

    rows: int = 0
    expected: float = 0.0


ALONE = PassLoad()


def best_draft(acceptance: Sequence[float], costs: Costs, others: PassLoad = ALONE) -> Draft:
    """The draft with most ids a second, those of ``others`` in the same pass counted.

    ``acceptance[i]`` is the probability that guess i comes true where those before it did. None
    where nothing gains LEAST_GAIN, or what is left of that where the pass is shared.
    """
    plain = (others.expected + 1) / costs(others.rows + 1)
    best = Draft(gain=1 + (LEAST_GAIN - 1) / (others.expected + 1))
    expected, reached = 1.0, 1.0
    for count, probability in enumerate(acceptance, 1):
        reached *= probability
        expected += reached
        seconds = costs(others.rows + count + 1) + count * costs.guess_s
        gain = (others.expected + expected) / seconds / plain
        if gain > best.gain:
            best = Draft(count, expected, gain)
    return best if best.guesses else Draft()


def waiting_pays(probability: float, draft: Draft, costs: Costs) -> bool:
    """Whether to wait for the id in flight, which is ``draft``'s beginning with a ``probability``.

    Where it is not, the pass after it was waited for and is one of one row.
    """
    expected = probability * draft.expected + 1 - probability
    drafted = draft.expected / draft.gain  # in passes of one row
    passes = costs.wait_s / costs(1) + probability * drafted + 1 - probability
    return expected >= LEAST_GAIN * passes
