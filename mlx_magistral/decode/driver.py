"""Driver: one reply's decode without the model, so that one loop or a batch can drive it.

Each round whoever drives passes ``inputs`` through the model, gives the logits of the last
``wanted_logits`` of them to ``dispatch`` and takes ids from ``read``. A pass is the id that was
drawn last, and after it those that a rule forces or that are guessed, if any. The draw of the next
id is dispatched before the current one is read, so the device never waits for Python; where a rule
must see the id first only the draw waits, and where a guess depends on it the pass does.

Guesses are exact. Row i of a pass gives the logits after the i-th guess; the reply's own sampler
draws from them with the random number that this position has in a plain run, under the rules as
they stand once every id before it was fed to them. A drawn id is kept whether or not it was
guessed; the guess only decides whether the row after it was computed for the right text. So ids are
the same function of logits and seed as without guesses: a coupling in which nothing is resampled,
and the distribution is the target's whatever guesses are. What may differ is rounding: a pass of
several rows may add in another order than a pass of one (docs/performance.md has the measurement).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import mlx.core as mx

from mlx_magistral.decode.draw import Drawn, Draws
from mlx_magistral.decode.finite import CHECK_EVERY, NotFinite
from mlx_magistral.decode.logprobs import LogprobMeter, Measured
from mlx_magistral.decode.rules.logits_processors import LogitsProcessor
from mlx_magistral.decode.rules.steering import Steering
from mlx_magistral.decode.sampling import PendingDraw, Sampler, draw_together
from mlx_magistral.events import TokenLogprob
from mlx_magistral.model.eagle.taps import AuxTap
from mlx_magistral.text.reasoning import ParserState


class Speculation(Protocol):
    """Makes guesses and hears what became of them; ``passes`` counts those of the model.

    With a ``tap`` it wants ``saw`` of what the model has in its layers in every pass.
    """

    passes: int

    @property
    def tap(self) -> AuxTap | None:
        """Listens to a pass."""

    def saw(self, states: mx.array, place: int) -> None:
        """What the tap took of a pass (rows, features * dim), its first row at ``place``."""

    def feed(self, token: int, state: ParserState) -> None:
        """Take an id of the reply; ``state`` is where the one after it falls."""

    def is_armed(self, driver: "Driver") -> bool:
        """Whether guesses are likely once the draw in flight is read: then it is waited for."""

    def propose(self, driver: "Driver") -> mx.array | None:
        """Ids (k,) that may follow those fed, k < driver.left, not yet evaluated; None for none."""

    def accepted(self, drafted: int, accepted: int) -> None:
        """So many of the ids guessed for a pass were drawn."""


class Driver:
    """Up to ``max_tokens`` ids, a stop id included. ``logits`` (1, vocab) are the prompt's.

    ``meter`` measures logprobs, and then nothing is guessed.
    """

    def __init__(
        self,
        logits: mx.array,
        sampler: Sampler,
        *,
        max_tokens: int,
        stop_tokens: frozenset[int],
        steering: Steering | None = None,
        meter: LogprobMeter | None = None,
        speculation: Speculation | None = None,
    ) -> None:
        self.sampler = sampler
        self.left = max_tokens
        self.is_done = False
        self._stop_tokens = stop_tokens
        self._steering = steering
        self._meter = meter
        self._speculation = speculation if meter is None else None
        self._unread: Drawn | None = None  # the latest draw
        self._waits = False  # until that is read, before the next pass
        self._read: tuple[int, ...] = ()  # ids that were given out and are in no cache yet
        self._forced: tuple[int, ...] = ()  # go through in the next pass and are given out after it
        self._measured: Measured | None = None  # of the forced ids
        self._guesses: mx.array | None = None
        self._draws: Draws | None = None  # from the latest pass
        self._logits = logits  # (1, vocab), of the latest position
        self._passes = 0
        self._draw_next()

    @property
    def processors(self) -> tuple[LogitsProcessor, ...]:
        """What holds for the next draw."""
        return self._steering.processors if self._steering else ()

    @property
    def must_see_id(self) -> bool:
        """Whether a rule has to see each id before the next is drawn."""
        return self._steering is not None and self._steering.must_see_id

    @property
    def ahead(self) -> int:
        """How many of the ids given out are in no cache yet; they lead the next inputs."""
        return len(self._read)

    @property
    def inputs(self) -> mx.array | None:
        """The ids (n,) that go through the model now; None where none do before the next read."""
        if self._unread is not None:
            return None if self._waits or self.left <= 1 else self._unread.token
        known = mx.array([*self._read, *self._forced], dtype=mx.uint32)
        if self._guesses is None:
            return known
        return mx.concatenate([known, self._guesses.astype(mx.uint32)])

    @property
    def wanted_logits(self) -> int:
        """How many of the last inputs ``dispatch`` needs logits of."""
        if self._guesses is not None:
            return 1 + self._guesses.shape[0]
        return len(self._forced) if self._forced and self._meter is not None else 1

    @property
    def awaited(self) -> list[mx.array]:
        """What has to be evaluated before ``read`` does not wait."""
        if self._guesses is not None and self._draws is not None:
            return [self._guesses, *self._draws.arrays]
        return [] if self._unread is None else self._unread.arrays

    def prepare(self, logits: mx.array) -> PendingDraw | None:
        """Take the logits (wanted_logits, vocab); returns a draw to be made for ``accept``, if any.

        Where there is none the logits themselves are what to start computing.
        """
        if self._speculation is not None:
            self._speculation.passes += 1
        self._read = ()
        if self._forced and self._meter is not None:
            # The first forced id takes the place of a draw from the logits before it.
            chosen_from = mx.concatenate([self._logits, logits[:-1]])
            self._measured = self._meter.measure(chosen_from, mx.array(self._forced))
        self._logits = logits if logits.shape[0] == 1 else logits[-1:]
        if self._forced:
            return None
        self._draws = self._draws_from(logits)
        return self._draws.prepare()

    def accept(self, token: mx.array) -> None:
        """Take the draw that ``prepare`` returned, made."""
        assert self._draws is not None
        self._draws.accept(token)

    def dispatch(self, logits: mx.array) -> None:
        """``prepare`` and ``accept`` for one reply; starts computing."""
        pending = self.prepare(logits)
        if pending is not None:
            self.accept(draw_together([pending])[0])
        mx.async_eval(logits if self._draws is None else self._draws.arrays)  # type: ignore[no-untyped-call]

    def read(self, cache: Sequence[Any]) -> Iterator[int]:
        """The ids of this round, each when the rules have seen it; none after a pass of known ids.

        ``cache`` is what the pass filled. Its rows of ids that are not given out, guesses that were
        not drawn or what follows when the caller closes the iterator, are dropped from it. Raises
        NotFinite.
        """
        if self._forced:
            return self._read_forced(cache)
        if self._guesses is not None:
            return self._read_guessed(cache)
        return self._read_drawn()

    def _read_drawn(self) -> Iterator[int]:
        """The latest draw; the pass of it is under way already, unless it was waited for."""
        drawn, self._unread = self._unread, None
        draws, self._draws = self._draws, None
        self._waits = False
        if drawn is not None:
            value = self._take(drawn)
            if draws is None:
                self._read = (value,)
        if not self.is_done:
            self._follow(draws)
        if drawn is not None:
            yield value
        if self._speculation is None or self.is_done or self._forced:
            return
        if draws is None:
            self._guesses = self._speculation.propose(self)
        elif drawn is not None:
            self._waits = self._speculation.is_armed(self)

    def _read_forced(self, cache: Sequence[Any]) -> Iterator[int]:
        """What was forced; what is forced by the last of it comes next."""
        forced, self._forced = self._forced, ()
        measured, self._measured = self._measured, None
        logprobs: Sequence[TokenLogprob | None] = [None] * len(forced)
        if self._meter is not None and measured is not None:
            logprobs = self._meter.report(list(forced), measured)
        left = len(forced)
        try:
            for value, logprob in zip(forced, logprobs, strict=True):
                self._feed(value, logprob)
                left -= 1
                if left == 0 and not self.is_done and not self._force():
                    self._draw_next()
                yield value
                if self.is_done:
                    break
        finally:
            _trim(cache, left)

    def _read_guessed(self, cache: Sequence[Any]) -> Iterator[int]:
        """The draws of a pass with guesses, up to the first that was not guessed."""
        guesses, self._guesses = self._guesses, None
        draws, self._draws = self._draws, None
        assert guesses is not None and draws is not None and self._speculation is not None
        mx.eval(guesses, draws.arrays)
        expected: Any = guesses.tolist()
        count, row = len(expected), 0
        try:
            while True:
                value = self._take(draws.take())
                is_as_guessed = row < count and value == expected[row]
                is_last = not is_as_guessed or self.is_done or self._is_forced
                if is_last:
                    self._speculation.accepted(count, row + is_as_guessed)
                    _trim(cache, count - row)
                    row = count
                    self._read = (value,)
                    self._follow(None)
                yield value
                if is_last:
                    break
                row += 1
        finally:
            _trim(cache, count - row)
        if not self.is_done and not self._forced:
            self._guesses = self._speculation.propose(self)

    def _take(self, drawn: Drawn) -> int:
        """Read a draw and show it to the rules."""
        if drawn.is_finite is not None and not drawn.is_finite.item():
            raise NotFinite
        value = drawn.token.item()
        assert isinstance(value, int)
        logprob = None
        if self._meter is not None and drawn.measured is not None:
            [logprob] = self._meter.report([value], drawn.measured)
        self._feed(value, logprob)
        return value

    def _feed(self, value: int, logprob: TokenLogprob | None) -> None:
        """Show an id to the rules and count it; ``is_done`` says whether it is the last."""
        steering, state = self._steering, ParserState.CONTENT
        if steering is not None:
            steering.feed(value, logprob)
            state = steering.state
        if self._speculation is not None:
            self._speculation.feed(value, state)
        self.left -= 1
        has_ended = steering is not None and steering.ended is not None
        self.is_done = self.left == 0 or value in self._stop_tokens or has_ended

    def _follow(self, draws: Draws | None) -> None:
        """What comes after a draw: forced ids in the place of the next one, or that."""
        if self._is_forced and draws is not None:
            draws.drop()
        if not self._force() and draws is not None:
            # Whatever the rules have changed by now, the draw takes it in.
            self._unread = draws.take()

    @property
    def _is_forced(self) -> bool:
        return bool(self._steering and self._steering.forced)

    def _force(self) -> bool:
        """Put what the rules force, if anything, into the next pass."""
        if self._steering is not None:
            self._forced = self._steering.forced[: self.left]
        self.sampler.write(self._forced)
        return bool(self._forced)

    def _draw_next(self) -> None:
        """Draw where no pass is under way."""
        draws = self._draws_from(self._logits)
        draws.start()
        self._unread = draws.take()

    def _draws_from(self, logits: mx.array) -> Draws:
        is_checked = self._passes % CHECK_EVERY == 0
        self._passes += 1
        return Draws(logits, self.sampler, self._steering, self._meter, is_checked=is_checked)


def _trim(cache: Sequence[Any], count: int) -> None:
    """Drop the newest rows."""
    if count:
        for layer in cache:
            layer.trim(count)
