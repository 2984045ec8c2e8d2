"""Speculation: guessed ids go through the model together with the latest one, in one pass.

Exact. Row i of such a pass gives the logits after the i-th guess; the reply's own sampler draws
from them with the random number that this position has in a plain run, under the rules as they
stand once every id before it was fed to them. A drawn id is kept whether or not it was guessed;
the guess only decides whether the row after it was computed for the right text. So ids are the same
function of logits and seed as in plain decoding: a coupling in which nothing is ever resampled, and
the distribution is the target's whatever guesses are. What may differ is rounding: a pass of
several rows may add in another order than a pass of one (docs/performance.md has the measurement).

Where the guesses come from: lookup.py and draft_model.py. Whether they pay: gate.py.
"""

from collections.abc import Generator, Sequence
from typing import Protocol

import mlx.core as mx

from mlx_magistral.decode.sampling import Sampler
from mlx_magistral.decode.steps import Loop, Step
from mlx_magistral.text.reasoning import ParserState


class Speculation(Protocol):
    """Makes guesses and hears what became of them."""

    passes: int

    def feed(self, token: int, state: ParserState) -> None:
        """Take an id of the reply; ``state`` is where the one after it falls."""

    def is_armed(self, loop: Loop) -> bool:
        """Whether a draft is likely once the draw in flight is read: then it is waited for."""

    def propose(self, loop: Loop) -> "mx.array | None":
        """Ids (k,) that may follow those fed, k < loop.left, not yet evaluated; None for a pass
        of one."""

    def accepted(self, drafted: int, accepted: int) -> None:
        """So many ids of a draft were drawn."""


def speculate(loop: Loop, speculation: Speculation, token: mx.array) -> Step:
    """Yield the id in flight, then drafted passes until no draft pays."""
    value = token.item()
    assert isinstance(value, int)
    loop.take(value)
    yield value
    while not loop.has_ended:
        if loop.is_forced:
            return (yield from loop.forced(value))
        draft = speculation.propose(loop)
        if draft is None:
            return loop.known(value)
        value = yield from _drafted(loop, speculation, value, draft)
    return None


class _Rows:
    """The logits of one pass, a row a position, and the draws from them.

    All rows are drawn at once under the rules of the first, and read with the draft in one go;
    a row for which the rules have changed is drawn again, with the same random number.
    """

    def __init__(self, loop: Loop, logits: mx.array, draft: mx.array) -> None:
        self._loop = loop
        self._logits = logits  # (k + 1, vocab)
        self._processors = loop.processors
        self._states = [loop.sampler.state]
        self._drawn: list[int] = []
        draws = [draft.astype(mx.uint32)]
        if not loop.must_see_id:
            for row in range(logits.shape[0]):
                draws.append(loop.sampler(logits[row : row + 1], self._processors))
                self._states.append(loop.sampler.state)
        read: Sequence[int] = mx.concatenate(draws).tolist()  # type: ignore[assignment]
        count = draft.shape[0]
        self.draft, self._drawn = read[:count], list(read[count:])

    def take(self, row: int) -> int:
        """The id of a position whose predecessors were all taken."""
        sampler: Sampler = self._loop.sampler
        if self._drawn and self._loop.processors == self._processors:
            sampler.state = self._states[row + 1]
            return self._drawn[row]
        if self._drawn:
            # From here on every row is drawn by itself: earlier draws stand on other rules.
            sampler.state = self._states[row]
            self._drawn = []
        value = sampler(self._logits[row : row + 1], self._loop.processors).item()
        assert isinstance(value, int)
        return value


def _drafted(
    loop: Loop, speculation: Speculation, token: int, draft: mx.array
) -> Generator[int, None, int]:
    """One pass of an id and a draft; yields what was drawn and returns the last of it."""
    count = draft.shape[0]
    loop.count_pass()
    inputs = mx.concatenate([mx.array([token], dtype=mx.uint32), draft.astype(mx.uint32)])
    rows = _Rows(loop, loop.model(inputs[None], loop.cache)[0], draft)
    row = 0
    try:
        while True:
            token = rows.take(row)
            is_as_guessed = row < count and token == rows.draft[row]
            loop.take(token)
            is_last = not is_as_guessed or loop.has_ended or loop.is_forced
            if is_last:
                speculation.accepted(count, row + is_as_guessed)
                _trim(loop, count - row)
                row = count
            yield token
            if is_last:
                return token
            row += 1
    finally:
        _trim(loop, count - row)


def _trim(loop: Loop, count: int) -> None:
    """Drop the newest rows from the cache."""
    if count:
        for layer in loop.cache:
            layer.trim(count)
