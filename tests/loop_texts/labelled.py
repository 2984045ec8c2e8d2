"""One text of the set, and what the generators of texts share."""

import random
from dataclasses import dataclass

from mlx_magistral.text.reasoning import ParserState

REASONING, CONTENT = ParserState.REASONING, ParserState.CONTENT
ARGUMENTS = ParserState.TOOL_ARGUMENTS

_WORDS = (
    "the a of sum number then we check again value so it is not clear because two three that "
    "result answer wait maybe first second left right with from under over time line point set"
).split()


@dataclass(frozen=True)
class LoopText:
    """``text`` is what the model says, after ``prompt``, in ``state``."""

    kind: str
    name: str
    state: ParserState
    prompt: str
    text: str
    is_loop: bool = False


def prose(rng: random.Random, words: int) -> str:
    """A line of so many words that mean nothing."""
    return " ".join(rng.choice(_WORDS) for _ in range(words)) + ".\n"


def word(rng: random.Random) -> str:
    """One of the words of ``prose``."""
    return rng.choice(_WORDS)
