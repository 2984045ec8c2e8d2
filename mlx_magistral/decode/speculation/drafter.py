"""Drafter: what a model or a head that guesses for another has to do."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import mlx.core as mx

from mlx_magistral.decode.driver import Driver
from mlx_magistral.model.eagle.taps import AuxTap


class Drafter(ABC):
    """Guesses for one reply; ``guess_s`` are seconds for each id.

    One with a ``tap`` wants to be told by ``saw`` of every pass of the target.
    """

    guess_s: float = 0.0
    tap: AuxTap | None = None

    @abstractmethod
    def for_reply(self) -> "Drafter":
        """The same weights for another reply."""

    @abstractmethod
    def propose(self, tokens: Sequence[int], count: int, driver: Driver) -> mx.array:
        """The ``count`` ids (count,) it expects after all ``tokens``, not evaluated."""

    def go_on(self, tokens: Sequence[int], place: int) -> None:
        """The ids before ``place`` go through no pass of this reply: they were known."""
        return

    def keep(self, tokens: Sequence[int]) -> None:
        """Another reply may go on from all of these ids."""
        return

    def saw(self, states: mx.array, place: int, tokens: Sequence[int]) -> None:
        """What the target had in its layers from ``place`` on, of ids of which some may be
        guesses."""
        return
