"""Stepper: one reply's decode without the model, so that one loop or a batch can drive it.

Each round the driver passes ``inputs`` through the model, gives their logits to ``dispatch`` and
takes ids from ``read``. The draw of the next id is dispatched before the current one is read, so
the device never waits for Python; where a rule must see the id first, only the draw waits.

Not the driver that speculates (steps.py): that one has to own the model and the cache, since it
decides how many rows a pass has and drops some afterwards, and this one has to own neither, since
in a batch its row is one of a pass that others share. The draw is the same (draw.py).
"""

import mlx.core as mx

from mlx_magistral.decode.draw import Draw
from mlx_magistral.decode.logprobs import LogprobMeter, Measured
from mlx_magistral.decode.rules.steering import Steering
from mlx_magistral.decode.sampling import PendingDraw, Sampler, draw_together


class Stepper:
    """Up to ``max_tokens`` ids, a stop id included. ``logits`` (1, vocab) are the prompt's."""

    def __init__(
        self,
        logits: mx.array,
        sampler: Sampler,
        *,
        max_tokens: int,
        stop_tokens: frozenset[int],
        steering: Steering | None = None,
        meter: LogprobMeter | None = None,
    ) -> None:
        self._sampler = sampler
        self._left = max_tokens
        self._stop_tokens = stop_tokens
        self._steering = steering
        self._meter = meter
        self._forced: tuple[int, ...] = ()
        self._measured: Measured | None = None
        self._logits = logits  # that the next id is drawn from
        self._draw_from(logits)
        self.is_done = False

    @property
    def drawn(self) -> mx.array | None:
        """What has to be evaluated before ``read`` does not wait; None where nothing has."""
        return None if self._forced else self._token

    @property
    def inputs(self) -> mx.array | None:
        """The ids (n,) that go through the model now; None where the reply ends before."""
        if self._forced:
            return mx.array(self._forced)
        return self._token if self._left > 1 else None

    @property
    def wanted_logits(self) -> int:
        """How many of the last inputs ``dispatch`` needs logits of."""
        return len(self._forced) if self._forced and self._meter is not None else 1

    def prepare(self, logits: mx.array) -> PendingDraw | None:
        """Take the logits (wanted_logits, vocab); returns a draw to be made for ``accept``, if any.

        Where there is none the logits themselves are what to start computing.
        """
        if self._forced:
            if self._meter is not None:
                # The first forced id takes the place of a draw from the logits before it.
                chosen_from = mx.concatenate([self._logits, logits[:-1]])
                self._measured = self._meter.measure(chosen_from, mx.array(self._forced))
            self._logits = logits[-1:]
            return None
        self._logits = logits
        self._draw = Draw(self._sampler, self._steering)
        return self._draw.prepare(logits)

    def accept(self, token: mx.array) -> None:
        """Take the draw that ``prepare`` returned, made."""
        self._draw.accept(token)

    def dispatch(self, logits: mx.array) -> mx.array:
        """``prepare`` and ``accept`` for one reply; returns the array to start computing."""
        pending = self.prepare(logits)
        if pending is None:
            return self._logits
        [token] = draw_together([pending])
        self.accept(token)
        return token

    def read(self) -> list[int]:
        """The ids of this round: the one that was drawn, or all that were forced after it."""
        return self._read_forced() if self._forced else self._read_drawn()

    def _read_drawn(self) -> list[int]:
        value = self._token.item()
        assert isinstance(value, int)
        self._feed([value])
        self._left -= 1
        steering = self._steering
        if self._left == 0 or value in self._stop_tokens or (steering and steering.ended):
            self.is_done = True
        elif steering and steering.forced:
            # They take the place of the draw and go through in one pass.
            self._forced = steering.forced[: self._left]
            self._draw.drop()
            self._sampler.write(self._forced)
        else:
            # Whatever the rules have changed by now, the draw takes it in.
            self._settle()
        return [value]

    def _read_forced(self) -> list[int]:
        forced, self._forced = list(self._forced), ()
        self._feed(forced)
        self._left -= len(forced)
        if self._left == 0:
            self.is_done = True
        else:
            self._draw_from(self._logits)
        return forced

    def _feed(self, values: list[int]) -> None:
        if self._steering is None:
            return
        if self._meter is None or self._measured is None:
            for value in values:
                self._steering.feed(value)
            return
        for value, logprob in zip(values, self._meter.report(values, self._measured), strict=True):
            self._steering.feed(value, logprob)

    def _draw_from(self, logits: mx.array) -> None:
        self._logits = logits
        self._draw = Draw(self._sampler, self._steering)
        mx.async_eval(self._draw.dispatch(logits))  # type: ignore[no-untyped-call]
        self._settle()

    def _settle(self) -> None:
        """The next id is the draw under the processors that hold now."""
        self._token = self._draw.settled()  # (1,), lazy
        if self._meter is not None:
            self._measured = self._meter.measure(self._logits, self._token)
