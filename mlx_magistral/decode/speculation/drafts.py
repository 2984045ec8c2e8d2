"""Drafts: the guesses of one reply, by a look-up in its text and a draft model or head, if any.

Joins lookup.py, draft_model.py, gate.py and ledger.py to the Speculation that decode asks. Guesses
are scored whether or not they are drafted, since a look-up costs nothing: parked, it still learns
when to begin. With ``length`` given the gate is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul

import mlx.core as mx

from mlx_magistral.decode.driver import Driver
from mlx_magistral.decode.speculation.affordable import AffordableCosts, MeasureRows
from mlx_magistral.decode.speculation.drafter import Drafter
from mlx_magistral.decode.speculation.gate import (
    ALONE,
    MOST_COPIED,
    MOST_DRAFTED,
    Acceptance,
    Costs,
    Draft,
    PassLoad,
    best_draft,
    waiting_pays,
)
from mlx_magistral.decode.speculation.ledger import Ledger
from mlx_magistral.decode.speculation.lookup import GRAM, LONGEST_MATCH, PromptLookup
from mlx_magistral.decode.speculation.pass_costs import PassCosts
from mlx_magistral.decode.speculation.shared_pass import SharedPass
from mlx_magistral.errors import UsageError
from mlx_magistral.model.eagle.taps import AuxTap
from mlx_magistral.text.reasoning import ParserState

# What a pass of any number of rows costs at the very best: as much as one of one.
_FREE = Costs({1: 1.0, MOST_DRAFTED + 1: 1.0})
# Nothing is measured for a gain that is not there even if rows were free.
_WORTH_MEASURING = 1.3
# Rows would have to be all but free for a guess this unsure.
_LEAST_RATE = 0.1
# Less sure it hardly ever pays to wait for an id, and most are.
_LEAST_AWAITED = 0.5
# A match of so many ids is a copy, and may go on for long.
_COPIED = 16
# Of a draft model's guesses, before anything is known of a text.
_MODEL_RATE = 0.7
# A draft model that is parked is tried again after so many ids.
_TRY_AGAIN = 64


@dataclass(frozen=True)
class SpeculateOption:
    """``auto``: as the gate says; ``off``; or a fixed length of draft."""

    is_off: bool = False
    length: int | None = None

    @classmethod
    def parse(cls, value: str | int) -> "SpeculateOption":
        """From what a caller or a command line gives; raises UsageError."""
        text = str(value).strip().lower()
        if text in ("auto", "off"):
            return cls(is_off=text == "off")
        if not text.isdecimal() or not 0 <= int(text) <= MOST_COPIED:
            raise UsageError(
                f"speculate must be auto, off, or 1 to {MOST_COPIED} ids a draft, not {value!r}."
            )
        return cls(is_off=int(text) == 0, length=int(text) or None)


class Drafts:
    """Guesses for one reply. ``passes``, ``drafted`` and ``kept`` are what became of them.

    ``measure`` finds out the costs at the context that is reached where they are not known; without
    it nothing is drafted there. ``measure_rows`` adds a pass of so many rows. Copied text is
    drafted ``longest`` ids at once at most. ``shared`` is what other replies put into the same
    passes.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        costs: PassCosts,
        *,
        length: int | None = None,
        draft_model: Drafter | None = None,
        measure: Callable[[], Costs] | None = None,
        shared: SharedPass | None = None,
        measure_rows: MeasureRows | None = None,
        longest: int = MOST_COPIED,
    ) -> None:
        self.passes = self.drafted = self.kept = 0
        self._lookup = PromptLookup(prompt)
        self._tokens = self._lookup.tokens
        self._state = ParserState.CONTENT
        self._length = length
        self._costs = AffordableCosts(costs, measure, measure_rows)
        self._shared = shared
        self._longest = longest
        self._draft_model = draft_model
        self._lookups = Acceptance(_prior)
        self._model_guesses = Acceptance(lambda key: _MODEL_RATE)
        self._try_model_at = 0
        self._uses_model = False
        self._ledger = Ledger()

    def go_on(self, place: int) -> None:
        """The prompt's ids before ``place`` go through no pass of this reply: they were known."""
        if self._draft_model is not None:
            self._draft_model.go_on(self._tokens, place)

    def keep(self) -> None:
        """Another reply may go on from all ids so far."""
        if self._draft_model is not None:
            self._draft_model.keep(self._tokens)

    @property
    def tap(self) -> AuxTap | None:
        """What listens to every pass of the model, if anything."""
        return None if self._draft_model is None else self._draft_model.tap

    def saw(self, states: mx.array, place: int) -> None:
        """What ``tap`` took of a pass (rows, features * dim), its first row at ``place``."""
        if self._draft_model is not None:
            self._draft_model.saw(states, place, self._tokens)

    def feed(self, token: int, state: ParserState) -> None:
        """Score the guess for this id and look up the next."""
        lookup = self._lookup
        if lookup.match:
            self._lookups.note(self._key(lookup.match), lookup.guess == token)
        lookup.feed(token)
        self._state = state

    def is_armed(self, driver: Driver) -> bool:
        """Whether a draft is likely once the id in flight is read."""
        if self._draft_model is None and not self._lookup.match:
            return False  # of most ids, so nothing is to be done for them
        if driver.left < 3 or not (self._awaits_guess() or self._from_model().guesses > 0):
            return False
        costs = self._known
        if costs is not None:
            self._gain(-costs.wait_s)
        return True

    def propose(self, driver: Driver) -> mx.array | None:
        """A draft from the look-up or the draft model, whichever gains more, where one does."""
        most = min(self._longest, driver.left - 1)
        draft, other = self._from_lookup(), self._from_model()
        self._uses_model = other.guesses > 0 and (not draft.guesses or other.gain > draft.gain)
        if self._uses_model:
            draft = other
        count = min(draft.guesses, most)
        if self._shared is not None:
            self._shared.put(self, PassLoad(max(count, 0) + 1, draft.expected))
        if count <= 0:
            return None
        if not self._uses_model or self._draft_model is None:
            return mx.array(self._lookup.propose(count), dtype=mx.uint32)
        return self._draft_model.propose(self._tokens, count, driver)

    def accepted(self, drafted: int, accepted: int) -> None:
        """So many ids of the draft were drawn."""
        self.drafted += drafted
        self.kept += accepted
        costs = self._known
        if costs is not None:
            lost = self._loss(drafted, costs)
            if self._uses_model:
                lost += drafted * self._guess_s
            self._gain(accepted * costs(1 + self._others.rows) - lost)
        if self._uses_model:
            for place in range(min(accepted + 1, drafted)):
                self._model_guesses.note((self._state, place), place < accepted)

    def _gain(self, seconds: float) -> None:
        self._costs.gained(seconds)
        self._ledger.gained(len(self._tokens), seconds)

    def _loss(self, guesses: int, costs: Costs) -> float:
        """Seconds that a pass takes longer by so many guesses."""
        rows = 1 + self._others.rows
        return costs(rows + guesses) - costs(rows) + guesses * costs.guess_s

    @property
    def _known(self) -> Costs | None:
        return self._costs.known(len(self._tokens))

    @property
    def _others(self) -> PassLoad:
        """What other replies put into the same pass."""
        return ALONE if self._shared is None else self._shared.beside(self)

    @property
    def _guess_s(self) -> float:
        return 0.0 if self._draft_model is None else self._draft_model.guess_s

    def _awaits_guess(self) -> bool:
        """Whether what the look-up guesses after the id in flight is worth waiting for that."""
        if self._length is not None:
            return self._lookup.match > 0
        rate = self._lookups.rate(self._key(self._lookup.match))
        if rate < _LEAST_AWAITED:
            return False
        draft, costs = self._from_lookup(ahead=1), self._known
        return draft.guesses > 0 and costs is not None and waiting_pays(rate, draft, costs)

    def _from_lookup(self, ahead: int = 0) -> Draft:
        match = self._lookup.match
        if not match:
            return Draft()
        if self._length is not None:
            places = range(match + ahead, match + ahead + self._length)
            return _fixed([self._lookups.rate(self._key(each)) for each in places])
        if self._lookups.rate(self._key(match)) < _LEAST_RATE:
            return Draft()
        matches = range(match + ahead, match + ahead + MOST_DRAFTED)
        rates = [self._lookups.rate(self._key(each)) for each in matches]
        draft = self._best(rates)
        if match < _COPIED or not draft.guesses or self._longest <= MOST_DRAFTED:
            return draft
        # Longer matches are all alike.
        rates += rates[-1:] * (self._longest - MOST_DRAFTED)
        if not self._others.rows:
            self._costs.measure_longer(len(self._tokens), rates, self._longest + 1)
        return self._best(rates)

    def _from_model(self) -> Draft:
        if self._draft_model is None:
            return Draft()
        if self._length is not None:
            guesses = range(self._length)
            return _fixed([self._model_guesses.rate((self._state, place)) for place in guesses])
        if len(self._tokens) < self._try_model_at:
            return Draft()
        places = range(MOST_DRAFTED)
        rates = [self._model_guesses.rate((self._state, place)) for place in places]
        draft = self._best(rates, self._guess_s)
        if draft.guesses == 0:
            self._try_model_at = len(self._tokens) + _TRY_AGAIN
            self._model_guesses.fade()
        return draft

    def _best(self, rates: list[float], guess_s: float = 0.0) -> Draft:
        """The gate's answer; measures where none was and it may matter."""
        costs, others = self._known, self._others
        if costs is None:
            # Whoever shares the pass would wait meanwhile.
            if not self._costs.can_begin or others.rows:
                return Draft()
            if best_draft(rates, _FREE).gain < _WORTH_MEASURING:
                return Draft()
            costs = self._costs.begin()
        if guess_s:
            costs = replace(costs, guess_s=guess_s)
        draft = best_draft(rates, costs, others)
        if draft.guesses and not others.rows and self._costs.measure_again(len(self._tokens)):
            return self._best(rates, guess_s)
        plain_s, place = costs(1 + others.rows), len(self._tokens)
        while draft.guesses:
            if self._ledger.may_lose(place, self._loss(draft.guesses, costs), plain_s):
                return draft
            draft = best_draft(rates[: draft.guesses - 1], costs, others)
        return draft

    def _key(self, match: int) -> tuple[ParserState, int]:
        """Matches that behave alike: 3, 4, 5 to 7, 8 to 15, 16 and more, in each phase."""
        match = min(match, LONGEST_MATCH)
        return self._state, match if match < 5 else 1 << (match.bit_length() - 1)


def _fixed(rates: Sequence[float]) -> Draft:
    """A draft of as many ids as there are rates, whatever a pass costs."""
    expected = 1 + sum(accumulate(rates, mul))
    return Draft(len(rates), expected, expected)


def _prior(key: object) -> float:
    """Before anything is known of a text: long matches go on, short ones often do not."""
    assert isinstance(key, tuple)
    return 0.3 if key[1] <= GRAM else 0.5 if key[1] < 8 else 0.8
