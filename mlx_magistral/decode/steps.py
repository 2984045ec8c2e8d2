"""One reply's decode loop, a step at a time: a plain pass, forced ids, and what ends it.

Steps are generators: they yield ids and return the next draw, not yet read, or None at the end.
generate.py strings plain steps together; speculate.py puts several rows into a pass. stepper.py
says why a batch has a driver of its own.
"""

from collections.abc import Generator
from typing import Any, NamedTuple, Protocol

import mlx.core as mx

from mlx_magistral.decode.draw import Draw
from mlx_magistral.decode.rules.logits_processors import LogitsProcessor
from mlx_magistral.decode.rules.steering import Steering
from mlx_magistral.decode.sampling import Sampler
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.text.reasoning import ParserState

Step = Generator[int, None, mx.array | None]


class Watcher(Protocol):
    """Sees every id of the reply as it is taken; ``passes`` counts those of the model."""

    passes: int

    def feed(self, token: int, state: ParserState) -> None:
        """Take an id; ``state`` is where the one after it falls."""


class Parts(NamedTuple):
    """What a reply is decoded with; all of it is the caller's."""

    model: Transformer
    cache: list[Any]
    sampler: Sampler
    steering: Steering | None
    stop_tokens: frozenset[int]


class Loop:
    """The state of one reply being decoded: what is left of it, and who watches."""

    def __init__(self, parts: Parts, max_tokens: int, watcher: Watcher | None = None) -> None:
        self.model, self.cache, self.sampler, self.steering, self._stop_tokens = parts
        self.left = max_tokens
        self.has_ended = False
        self._watcher = watcher

    @property
    def processors(self) -> tuple[LogitsProcessor, ...]:
        return self.steering.processors if self.steering else ()

    @property
    def must_see_id(self) -> bool:
        return self.steering is not None and self.steering.must_see_id

    @property
    def is_forced(self) -> bool:
        return bool(self.steering and self.steering.forced)

    def count_pass(self) -> None:
        """A pass of the model that decodes, not the prefill."""
        if self._watcher is not None:
            self._watcher.passes += 1

    def take(self, token: int) -> None:
        """Show an id to the rules and count it; ``has_ended`` says whether it is the last."""
        state = ParserState.CONTENT
        if self.steering is not None:
            self.steering.feed(token)
            state = self.steering.state
        if self._watcher is not None:
            self._watcher.feed(token, state)
        self.left -= 1
        ended_by_rule = self.steering is not None and self.steering.ended is not None
        self.has_ended = self.left == 0 or token in self._stop_tokens or ended_by_rule

    def draw(self, logits: mx.array) -> mx.array:
        """Draw from logits (1, vocab) under the rules that hold now, and start computing."""
        token = self.sampler(logits, self.processors)
        mx.async_eval(token)  # type: ignore[no-untyped-call]
        return token

    def plain(self, token: mx.array) -> Step:
        """Dispatch the pass of a drawn id and the next draw, then read and yield the id.

        The device never waits for Python; where a rule must see the id first, the pass is
        dispatched and only the draw waits.
        """
        draw = Draw(self.sampler, self.steering)
        if self.left > 1:
            self.count_pass()
            logits = self.model(token[:, None], self.cache)[:, -1]
            mx.async_eval(draw.dispatch(logits))  # type: ignore[no-untyped-call]
        value = token.item()
        assert isinstance(value, int)
        self.take(value)
        if self.has_ended:
            yield value
            return None
        if self.is_forced:
            draw.drop()
            yield value
            return (yield from self.forced())
        # Whatever the rules have changed by now, the draw takes it in.
        following = draw.settled()
        yield value
        return following

    def forced(self, *read: int) -> Step:
        """Put the forced ids in the place of the draw; they go through in one pass.

        Ids in ``read`` were yielded and are not in the cache yet; they go in front.
        """
        assert self.steering is not None
        forced = self.steering.forced[: self.left]
        self.sampler.write(forced)
        self.count_pass()
        hidden = self.model.hidden(mx.array([[*read, *forced]]), self.cache)
        logits = self.model.logits(hidden[:, -1:])[:, 0]
        mx.async_eval(logits)  # type: ignore[no-untyped-call]
        for token in forced:
            self.take(token)
            yield token
        self.has_ended = self.left == 0
        return None if self.has_ended else self.draw(logits)

    def known(self, token: int) -> mx.array:
        """The next draw after an id that is read and not in the cache yet."""
        self.count_pass()
        return self.draw(self.model(mx.array([[token]]), self.cache)[:, -1])
