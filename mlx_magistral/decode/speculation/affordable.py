"""AffordableCosts: what passes cost a reply, measured as it goes on, where guesses paid for it.

A reply begins with what is on disk. Where nothing is, the short passes are measured at once, and
that is the only time that a reply is stopped. What a longer context makes of them, and what the
long passes of copied text cost, is measured one number of rows after the other, each once guesses
have gained the time that it takes.
"""

from collections.abc import Callable

from mlx_magistral.decode.speculation.gate import LEAST_GAIN, Costs, best_draft
from mlx_magistral.decode.speculation.pass_costs import LONG_ROWS, PASSES_A_MEASURE, PassCosts

MeasureRows = Callable[[int], Costs]


class AffordableCosts:
    """``measure`` measures the short passes, ``measure_rows`` one of so many rows; without them
    what is known stays as it is."""

    def __init__(
        self,
        costs: PassCosts,
        measure: Callable[[], Costs] | None,
        measure_rows: MeasureRows | None,
    ) -> None:
        self._costs = costs
        self._measure, self._measure_rows = measure, measure_rows
        self._gained_s = 0.0  # by guesses, since something was measured

    @property
    def can_begin(self) -> bool:
        """Whether what nobody knows can be measured."""
        return self._measure is not None

    def known(self, context_tokens: int) -> Costs | None:
        """What is known of so much context."""
        return self._costs.known(context_tokens)

    def begin(self) -> Costs:
        """Measure the short passes now."""
        assert self._measure is not None
        return self._measure()

    def gained(self, seconds: float) -> None:
        """Guesses made the reply faster by so much, or slower."""
        self._gained_s += seconds

    def measure_again(self, context_tokens: int) -> bool:
        """Measure a pass that only a smaller context has told of; returns whether it did."""
        rows = next(iter(self._costs.unmeasured(context_tokens)), None)
        known = self.known(context_tokens)
        return rows is not None and known is not None and self._spend(rows, known)

    def measure_longer(self, context_tokens: int, rates: list[float], most_rows: int) -> bool:
        """Measure the next number of rows where it may pay for guesses of these ``rates``.

        It may where it pays if rows go on to cost what the last of those measured did.
        """
        known = self.known(context_tokens)
        if known is None:
            return False
        before, largest = sorted(known.seconds)[-2:]
        rows = next((each for each in LONG_ROWS if each > largest), None)
        if rows is None or rows > most_rows:
            return False
        each_s = (known(largest) - known(before)) / (largest - before)
        hoped = Costs({**known.seconds, rows: known(largest) + each_s * (rows - largest)})
        at_hand = best_draft(rates[: largest - 1], known)
        if best_draft(rates[: rows - 1], hoped).gain < LEAST_GAIN * at_hand.gain:
            return False
        return self._spend(rows, hoped)

    def _spend(self, rows: int, expected: Costs) -> bool:
        if self._measure_rows is None or self._gained_s < PASSES_A_MEASURE * expected(rows):
            return False
        self._gained_s = 0.0
        self._measure_rows(rows)
        return True
