"""Said: a prompt and what the target replied to it, as ids; and the packs that a step learns from.

Nothing of the order is state: whoever goes on at step N sees what would have come there.
"""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

import mlx.core as mx


@dataclass(frozen=True)
class Said:
    """``tokens`` are prompt and reply; the first ``prompt_tokens`` of them were asked."""

    tokens: "array[int]"
    prompt_tokens: int

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def digest(self) -> bytes:
        """Two with the same ids and the same prompt have the same."""
        return hashlib.sha256(self.tokens.tobytes() + str(self.prompt_tokens).encode()).digest()


@dataclass(frozen=True)
class Window:
    """The ids [start, end) of something said: as much as goes through the head at once."""

    said: Said
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


class Rows:
    """The rows of a pack of windows, one behind the other, and what each step of a chain reads.

    Row r stands for a place p of some text. At step k it reads the embedding of the id at p + 1 + k
    and is to say what the target says there: the id at p + 2 + k. Those that have something to
    learn at any step are ``asking``; the others, of the prompt, are there to be looked back to.
    """

    def __init__(self, windows: Sequence[Window], unroll: int) -> None:
        self.windows = windows
        self.count = sum(len(window) - 1 for window in windows)
        self.owners = mx.array(
            [number for number, each in enumerate(windows) for _ in range(len(each) - 1)]
        )
        firsts = [sum(len(each) for each in windows[:n]) for n in range(len(windows))]
        rows = [
            (first, window, place)
            for first, window in zip(firsts, windows, strict=True)
            for place in range(len(window) - 1)
        ]
        # Of the windows' ids one behind the other, the place of each row.
        self.places = [first + place for first, _, place in rows]
        is_asking = [any(_is_useful(*each[1:], step) for step in range(unroll)) for each in rows]
        chosen = [row for row, asks in enumerate(is_asking) if asks]
        self.asking = mx.array(chosen, dtype=mx.uint32)
        self.steps = [_step([rows[row] for row in chosen], step) for step in range(unroll)]

    @cached_property
    def tokens(self) -> mx.array:
        """All ids of the windows."""
        return mx.array([token for w in self.windows for token in w.said.tokens[w.start : w.end]])


@dataclass(frozen=True)
class Step:
    """``read`` (asking rows,): places of the ids whose embedding goes in; those of the asking rows
    that are ``useful`` have a target, which is what the target says at ``read`` of them."""

    read: mx.array
    useful: mx.array


def _is_useful(window: Window, place: int, step: int) -> bool:
    """Whether the text goes on so far and the id to be said is one of the reply."""
    said = place + 2 + step
    return window.said.prompt_tokens - window.start <= said < len(window)


def _step(rows: Sequence[tuple[int, Window, int]], step: int) -> Step:
    read = [first + min(place + 1 + step, len(window) - 1) for first, window, place in rows]
    useful = [n for n, (_, window, place) in enumerate(rows) if _is_useful(window, place, step)]
    return Step(mx.array(read), mx.array(useful, dtype=mx.uint32))


@dataclass(frozen=True)
class Packs:
    """Windows of all that was said, in packs of up to ``pack_tokens`` ids, shuffled each epoch."""

    texts: Sequence[Said]
    pack_tokens: int
    seed: int

    def step(self, number: int) -> list[Window]:
        """The pack of step ``number``, counted from 0."""
        order = self._epoch(number // len(self._order))
        return order[number % len(self._order)]

    @property
    def packs_an_epoch(self) -> int:
        """How many packs hold everything once."""
        return len(self._order)

    def all(self) -> list[list[Window]]:
        """Every pack once, for measuring."""
        return self._order

    def _epoch(self, epoch: int) -> list[list[Window]]:
        packs = list(self._order)
        Random(f"{self.seed} {epoch}").shuffle(packs)
        return packs

    @cached_property
    def _order(self) -> list[list[Window]]:
        windows = [window for said in self.texts for window in windows_of(said, self.pack_tokens)]
        Random(self.seed).shuffle(windows)
        packs: list[list[Window]] = []
        held = self.pack_tokens + 1
        for window in windows:
            if held + len(window) > self.pack_tokens:
                packs.append([])
                held = 0
            packs[-1].append(window)
            held += len(window)
        return packs


def windows_of(said: Said, most: int) -> list[Window]:
    """Windows of at most so many ids that hold the whole reply, and before it of the prompt what
    there is room for; each begins a few ids early, for what its first rows look back to."""
    end, overlap = len(said), min(64, most // 4)
    if end <= most:
        return [Window(said, 0, end)]
    windows = []
    start = max(0, said.prompt_tokens - overlap)
    while True:
        stop = min(start + most, end)
        windows.append(Window(said, start, stop))
        if stop == end:
            return windows
        start = stop - overlap
