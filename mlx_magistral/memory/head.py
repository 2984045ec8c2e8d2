"""HeadMarks: where a prompt's head ends, which other conversations begin with as well.

By control ids alone, which no text encodes to: a user's text cannot move the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlx_magistral.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class HeadMarks:
    """``ends`` close the system prompt and the tools; ``turn`` opens the first user message."""

    ends: frozenset[int] = frozenset()
    turn: int | None = None

    def length(self, tokens: Sequence[int]) -> int:
        """Ids of system prompt and tools before the first user message; 0 where there are none."""
        length = 0
        for count, token in enumerate(tokens, 1):
            if token == self.turn:
                break
            if token in self.ends:
                length = count
        return length


def head_marks(tokenizer: "Tokenizer") -> HeadMarks:
    """The marks of tokenizer v13."""
    ends = ("[/SYSTEM_PROMPT]", "[/AVAILABLE_TOOLS]")
    return HeadMarks(frozenset(map(tokenizer.control_id, ends)), tokenizer.control_id("[INST]"))
