"""Batches: which examples make a step, in an order that a seed and a step number decide alone.

Examples of about one length stand together; a pack is their ids one after the other, without
padding. Nothing of the order is state: whoever goes on at step N sees what would have come there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from mlx_magistral.train.example import Example

# Lengths that differ by less count as one, so that every epoch groups other examples.
_LENGTH_STEP = 1.1


@dataclass(frozen=True)
class Pack:
    """Examples that go through the model together, each attending to itself alone."""

    examples: tuple[Example, ...]

    @cached_property
    def lengths(self) -> list[int]:
        """Ids that go in, of each example: all but the last, which predicts nothing."""
        return [len(each) - 1 for each in self.examples]

    @cached_property
    def inputs(self) -> list[int]:
        """All ids that go in, one example after the other."""
        return [token for each in self.examples for token in each.tokens[:-1]]

    @cached_property
    def rows(self) -> list[int]:
        """The rows whose prediction is learned, in order."""
        rows, start = [], 0
        for each, length in zip(self.examples, self.lengths, strict=True):
            for begin, end in each.spans:
                rows += range(start + max(begin, 1) - 1, start + end - 1)
            start += length
        return rows

    @cached_property
    def targets(self) -> list[int]:
        """The id that each of ``rows`` has to predict."""
        return [
            token
            for each in self.examples
            for begin, end in each.spans
            for token in each.tokens[max(begin, 1) : end]
        ]


@dataclass(frozen=True)
class Batches:
    """The packs of each step: ``accumulation`` of them, of ``batch_size`` examples each."""

    examples: Sequence[Example]
    batch_size: int
    accumulation: int
    seed: int

    @property
    def packs_an_epoch(self) -> int:
        """How many packs hold every example once."""
        return -(-len(self.examples) // self.batch_size)

    @property
    def steps_an_epoch(self) -> float:
        """Steps until every example was seen once more."""
        return self.packs_an_epoch / self.accumulation

    def step(self, number: int) -> list[Pack]:
        """The packs of step ``number``, counted from 0."""
        first = number * self.accumulation
        return [self._pack(index) for index in range(first, first + self.accumulation)]

    def _pack(self, index: int) -> Pack:
        epoch, place = divmod(index, self.packs_an_epoch)
        return Pack(tuple(self.examples[each] for each in self._epoch(epoch)[place]))

    def _epoch(self, epoch: int) -> list[list[int]]:
        if epoch not in self._orders:
            self._orders.clear()
            self._orders[epoch] = self._order(Random(f"{self.seed} {epoch}"))
        return self._orders[epoch]

    @cached_property
    def _orders(self) -> dict[int, list[list[int]]]:
        return {}

    def _order(self, random: Random) -> list[list[int]]:
        order = list(range(len(self.examples)))
        random.shuffle(order)
        order.sort(key=lambda each: _length_class(len(self.examples[each])))
        packs = [
            order[start : start + self.batch_size]
            for start in range(0, len(order), self.batch_size)
        ]
        random.shuffle(packs)
        return packs


def packs_of(examples: Sequence[Example], batch_size: int) -> list[Pack]:
    """All examples once, longest first, for measuring; the order has no meaning."""
    ordered = sorted(examples, key=len, reverse=True)
    return [
        Pack(tuple(ordered[start : start + batch_size]))
        for start in range(0, len(ordered), batch_size)
    ]


def _length_class(length: int) -> int:
    size, step = 1.0, 0
    while size < length:
        size, step = size * _LENGTH_STEP, step + 1
    return step
