"""Replays a known reply through Drafts on a simulated clock: a curve says what passes take."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from mlx_magistral.decode.driver import Driver
from mlx_magistral.decode.speculation.drafts import Drafts
from mlx_magistral.decode.speculation.gate import Costs
from mlx_magistral.decode.speculation.pass_costs import PASSES_A_MEASURE, PassCosts
from mlx_magistral.text.reasoning import ParserState


class Clocked(PassCosts):
    """A machine whose passes take what ``curve`` says; ``measured`` are rows asked for later."""

    def __init__(self, curve: Callable[[int], float], first: Sequence[int]) -> None:
        super().__init__("", None)
        self.curve = curve
        self.measured: list[int] = []
        self.seconds = {rows: curve(rows) for rows in first}
        self.spent = 0.0

    def known(self, context_tokens: int) -> Costs:
        return Costs(self.seconds)

    def unmeasured(self, context_tokens: int) -> list[int]:
        return []

    def measure_more(self, rows: int) -> Costs:
        self.measured.append(rows)
        self.seconds[rows] = self.curve(rows)
        self.spent += PASSES_A_MEASURE * self.curve(rows)
        return Costs(self.seconds)


class Told(NamedTuple):
    """When each id came, in seconds, and the rows of each pass."""

    times: list[float]
    rows: list[int]


class _Left:
    must_see_id = False

    def __init__(self, left: int) -> None:
        self.left = left


def replay(prompt: Sequence[int], reply: Sequence[int], costs: Clocked, **options: Any) -> Told:
    drafts = Drafts(prompt, costs, measure_rows=costs.measure_more, **options)
    told, clock, at = Told([], []), 0.0, 0
    while at < len(reply):
        driver = cast(Driver, _Left(len(reply) - at))
        draft = drafts.propose(driver) if at else None
        guessed = [] if draft is None else cast(list[int], draft.tolist())
        kept = 0
        while kept < min(len(guessed), driver.left - 1) and guessed[kept] == reply[at + kept]:
            kept += 1
        if guessed:
            drafts.accepted(len(guessed), kept)
        for token in reply[at : at + kept + 1]:
            drafts.feed(token, ParserState.CONTENT)
        at += kept + 1
        clock += costs.curve(len(guessed) + 1) + costs.spent
        costs.spent = 0.0
        told.rows.append(len(guessed) + 1)
        told.times.extend([clock] * (kept + 1))
    return told
