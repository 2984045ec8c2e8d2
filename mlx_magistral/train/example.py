"""Example: the ids of one conversation, and which of them the model learns to write."""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

Span = tuple[int, int]


class LossOn(Enum):
    """Which ids of the assistant carry loss: all, or those outside of the thinking."""

    ALL = "all"
    ANSWER = "answer"


@dataclass(frozen=True)
class Example:
    """``tokens`` are the ids; those in one of ``spans`` [start, end) are learned.

    ``place`` says where it comes from, as FILE:LINE. An id is predicted from those before it, so
    the first one is never learned.
    """

    tokens: "array[int]"
    spans: tuple[Span, ...]
    place: str

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def target_count(self) -> int:
        """How many ids carry loss."""
        return sum(end - start for start, end in self.spans)

    @property
    def prompt(self) -> "array[int]":
        """The ids in front of the first that is learned."""
        return self.tokens[: self.spans[0][0]]

    def cut(self, length: int) -> "Example":
        """The first ``length`` ids; an example with no span left has nothing to learn."""
        if len(self) <= length:
            return self
        spans = tuple((start, min(end, length)) for start, end in self.spans if start < length)
        return replace(self, tokens=self.tokens[:length], spans=spans)

    @property
    def digest(self) -> bytes:
        """Two examples with the same ids and spans have the same."""
        return hashlib.sha256(self.tokens.tobytes() + repr(self.spans).encode()).digest()


def targets_of(example: Example) -> list[bool]:
    """For each id whether it is learned."""
    marks = [False] * len(example)
    for start, end in example.spans:
        marks[start:end] = [True] * (end - start)
    return marks


def packed(tokens: Sequence[int]) -> "array[int]":
    """Ids in four bytes each."""
    return array("I", tokens)
