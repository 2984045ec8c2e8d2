"""Changes to the logits of one draw, as values: equal values change them in the same way.

The decode loop draws ahead of reading, with the processors that held one id ago; comparing them
with those that hold now tells it whether that draw still stands.
"""

from dataclasses import dataclass
from typing import Protocol

import mlx.core as mx


class LogitsProcessor(Protocol):
    """Maps logits (1, vocab) to logits (1, vocab), lazily and on the device."""

    def __call__(self, logits: mx.array) -> mx.array: ...


@dataclass(frozen=True)
class Ban:
    """One id cannot be drawn."""

    token: int

    def __call__(self, logits: mx.array) -> mx.array:
        return mx.where(_is(logits, self.token), -mx.inf, logits)


@dataclass(frozen=True)
class BanControls:
    """Of the control ids, which come first in the vocabulary, only ``allowed`` can be drawn."""

    control_count: int
    allowed: tuple[int, ...]

    def __call__(self, logits: mx.array) -> mx.array:
        is_banned = mx.arange(logits.shape[-1]) < self.control_count
        for token in self.allowed:
            is_banned = is_banned & ~_is(logits, token)
        return mx.where(is_banned, -mx.inf, logits)


@dataclass(frozen=True)
class Lean:
    """An id whose logit is ``within`` of the highest gets ``by`` more; elsewhere nothing changes.

    At temperature 1, ``within=3`` is a probability of at least a twentieth of the likeliest id's.
    """

    token: int
    within: float
    by: float

    def __call__(self, logits: mx.array) -> mx.array:
        top = mx.max(logits, axis=-1, keepdims=True)
        is_leaning = _is(logits, self.token) & (logits >= top - self.within)
        return mx.where(is_leaning, logits + self.by, logits)


def _is(logits: mx.array, token: int) -> mx.array:
    return mx.arange(logits.shape[-1]) == token
