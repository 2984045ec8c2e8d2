"""Line: what one check found, and whether that is as it should be."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """``GPU`` stands for a check that this machine cannot make."""

    OK = "ok"
    DIFFERS = "differs"
    GPU = "needs a GPU"


@dataclass(frozen=True)
class Line:
    """``figure`` says what was found and, where there is one, the bound that it was held to."""

    name: str
    state: State
    figure: str


def judged(name: str, is_ok: bool, figure: str) -> Line:
    """A line of a check that was made."""
    return Line(name, State.OK if is_ok else State.DIFFERS, figure)
