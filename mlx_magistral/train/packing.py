"""Batches: which examples make a step, in an order that a seed and a step number decide alone.

Examples of about one length stand together; a pack is their ids one after the other, without
padding. Nothing of the order is state: whoever goes on at step N sees what would have come there.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from mlx_magistral.train.example import Example

# Lengths that differ by less count as one, so that every epoch groups other examples.
_LENGTH_STEP = 1.1
# Fewer shared ids are not worth a segment of their own.
_FEWEST_SHARED = 16
# Examples that differ in their first ids stand apart: they would share nothing.
_HEAD_TOKENS = 16


@dataclass(frozen=True)
class Pack:
    """Examples that go through the model together, each attending to itself alone.

    What all of them begin with, such as the official system prompt, goes through once: of 8 short
    chats that is half of the work. ``shared`` is how many ids that is.
    """

    examples: tuple[Example, ...]

    @cached_property
    def shared(self) -> int:
        """Ids that all examples begin with and none learns; 0 where sharing does not pay."""
        if len(self.examples) < 2:
            return 0
        most = min(min(each.spans[0][0], len(each) - 2) for each in self.examples)
        first = self.examples[0].tokens
        for each in self.examples[1:]:
            most = _common(first, each.tokens, most)
        return most if most >= _FEWEST_SHARED else 0

    @cached_property
    def lengths(self) -> list[int]:
        """Ids that go in of each example after the shared ones; the last predicts nothing."""
        return [len(each) - 1 - self.shared for each in self.examples]

    @cached_property
    def inputs(self) -> list[int]:
        """All ids that go in: the shared ones, then one example after the other."""
        own = [token for each in self.examples for token in each.tokens[self.shared : -1]]
        return [*self.examples[0].tokens[: self.shared], *own]

    @cached_property
    def rows(self) -> list[int]:
        """The row that each of ``targets`` is predicted from; a shared last one may come often."""
        rows: list[int] = []
        start = self.shared
        for each, length in zip(self.examples, self.lengths, strict=True):
            for begin, end in each.spans:
                places = range(max(begin, 1) - 1, end - 1)
                rows += [
                    place if place < self.shared else start + place - self.shared
                    for place in places
                ]
            start += length
        return rows

    @cached_property
    def targets(self) -> list[int]:
        """The ids that are learned, in order."""
        return [
            token
            for each in self.examples
            for begin, end in each.spans
            for token in each.tokens[max(begin, 1) : end]
        ]

    @property
    def token_count(self) -> int:
        """Ids of all examples, shared ones counted in each."""
        return sum(map(len, self.examples))


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

    def epoch(self, number: int) -> list[Pack]:
        """All packs of an epoch, in order."""
        return [self._made(places) for places in self._epoch(number)]

    @property
    def longest(self) -> Pack:
        """The longest examples in one pack, whether an epoch has it or not."""
        ordered = sorted(self.examples, key=len, reverse=True)
        return Pack(tuple(ordered[: self.batch_size]))

    def _pack(self, index: int) -> Pack:
        epoch, place = divmod(index, self.packs_an_epoch)
        return self._made(self._epoch(epoch)[place])

    def _made(self, places: Sequence[int]) -> Pack:
        return Pack(tuple(self.examples[each] for each in places))

    def _epoch(self, epoch: int) -> list[list[int]]:
        if epoch not in self._orders:
            self._orders.clear()
            self._orders[epoch] = self._order(Random(f"{self.seed} {epoch}"))
        return self._orders[epoch]

    @cached_property
    def _orders(self) -> dict[int, list[list[int]]]:
        return {}

    @cached_property
    def _classes(self) -> list[tuple[bytes, int]]:
        """What stands together: examples of one beginning and about one length.

        A beginning that few examples have is none: lengths matter more.
        """
        heads = [each.tokens[:_HEAD_TOKENS].tobytes() for each in self.examples]
        counts = Counter(heads)
        return [
            (head if counts[head] >= 2 * self.batch_size else b"", _length_class(len(each)))
            for head, each in zip(heads, self.examples, strict=True)
        ]

    def _order(self, random: Random) -> list[list[int]]:
        order = list(range(len(self.examples)))
        random.shuffle(order)
        order.sort(key=self._classes.__getitem__)
        packs = [
            order[start : start + self.batch_size]
            for start in range(0, len(order), self.batch_size)
        ]
        random.shuffle(packs)
        return packs


def packs_of(examples: Sequence[Example], batch_size: int) -> list[Pack]:
    """All examples once, for measuring; the order has no meaning."""
    return Batches(examples, batch_size, accumulation=1, seed=0).epoch(0)


def _common(one: "array[int]", other: "array[int]", most: int) -> int:
    """How many of the first ``most`` ids are the same."""
    if one[:most] == other[:most]:
        return most
    return next(place for place in range(most) if one[place] != other[place])


def _length_class(length: int) -> int:
    size, step = 1.0, 0
    while size < length:
        size, step = size * _LENGTH_STEP, step + 1
    return step
