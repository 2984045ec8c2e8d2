"""Verdict: what came of one answer."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Right, wrong, or wrong because nothing could be read; all but the first count as wrong."""

    RIGHT = "right"
    WRONG = "wrong"
    UNPARSED = "unparsed"


@dataclass(frozen=True)
class Verdict:
    """``parsed`` is what was read as the answer; ``vote`` is it in a form that can be counted.

    ``note`` says what was odd, in a few words.
    """

    outcome: Outcome
    parsed: str | None = None
    vote: str | None = None
    note: str = ""

    @property
    def is_right(self) -> bool:
        return self.outcome is Outcome.RIGHT


def judged(is_right: bool, parsed: str, vote: str | None = None, note: str = "") -> Verdict:
    """A verdict on something that could be read."""
    outcome = Outcome.RIGHT if is_right else Outcome.WRONG
    return Verdict(outcome, parsed, parsed if vote is None else vote, note)


def unparsed(note: str, parsed: str | None = None) -> Verdict:
    """A verdict on something that could not."""
    return Verdict(Outcome.UNPARSED, parsed, None, note)
