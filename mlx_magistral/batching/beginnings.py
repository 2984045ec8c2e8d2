"""What the prompts of a batch begin with in common is read once: the others wait, and copy it.

Copies of one prompt, or clients that come at the same time with one system prompt, would else put
the same rows into the same passes.
"""

from collections.abc import Iterable
from typing import NamedTuple

from mlx_magistral.batching.sequence import Sequence
from mlx_magistral.memory.prefixes.match import common_length

# To wait for a pass of somebody else's has to spare as many rows at least.
_LEAST_TOKENS = 64


class Beginning(NamedTuple):
    """Of a sequence's prompt, the ids that another one's cache holds, and how many it will hold."""

    source: Sequence | None = None
    tokens: int = 0
    later_tokens: int = 0

    def is_worth_waiting(self, known_tokens: int) -> bool:
        """Whether much more is being read than is there or ``known_tokens`` already."""
        return self.later_tokens - max(self.tokens, known_tokens) >= _LEAST_TOKENS


def find_beginning(sequence: Sequence, running: Iterable[Sequence]) -> Beginning:
    """The best of what runs, oldest first; at least one id of the prompt is left to be read.

    Those that are read already, or come before it, may be waited for; so two never wait for each
    other.
    """
    source, tokens, later_tokens, is_older = None, 0, 0, True
    for other in running:
        if other is sequence:
            is_older = False
            continue
        if other.is_over:
            continue
        common = min(common_length(other.prompt, sequence.prompt), len(sequence.prompt) - 1)
        held = min(common, other.kept_tokens)
        if held > tokens:
            source, tokens = other, held
        if is_older or other.cache:
            later_tokens = max(later_tokens, common)
    return Beginning(source, tokens, later_tokens)
