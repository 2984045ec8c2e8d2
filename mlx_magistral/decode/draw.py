"""Draws: ids that are drawn before those in front of them are known, and again where rules object.

A draw that is made again uses its random number again, so one that comes out the same is the same.
"""

from typing import NamedTuple

import mlx.core as mx

from mlx_magistral.decode.logprobs import LogprobMeter, Measured
from mlx_magistral.decode.rules.logits_processors import LogitsProcessor
from mlx_magistral.decode.rules.steering import Steering
from mlx_magistral.decode.sampling import PendingDraw, Sampler, draw_together


class Drawn(NamedTuple):
    """An id (1,), on its way; its logprobs where somebody asked for them; and now and then whether
    the logits it comes from are finite."""

    token: mx.array
    measured: Measured | None
    is_finite: mx.array | None

    @property
    def arrays(self) -> list[mx.array]:
        """What has to be evaluated before all of it can be read without waiting."""
        looked = [] if self.is_finite is None else [self.is_finite]
        return [self.token, *(self.measured or ()), *looked]


class Draws:
    """The draws from the logits (n, vocab) of one pass, a row a position, taken in turn.

    All rows are drawn at once under the rules of the first, unless a rule has to see each id.
    """

    def __init__(
        self,
        logits: mx.array,
        sampler: Sampler,
        steering: Steering | None,
        meter: LogprobMeter | None = None,
        *,
        is_checked: bool = False,
    ) -> None:
        self._logits = logits
        self._is_checked = is_checked  # the first row
        self._sampler = sampler
        self._steering = steering
        self._meter = meter
        self._processors = self._processors_now()
        self._row = 0  # the next to be taken
        self._early: list[mx.array] = []
        self._states = [sampler.state]  # before each row's draw

    @property
    def arrays(self) -> list[mx.array]:
        """What to start computing: the draws that are made, else what they come from."""
        return self._early or [self._logits]

    def prepare(self) -> PendingDraw | None:
        """A draw to be made and given to ``accept``; None where it has to wait or was made here."""
        if self._steering and self._steering.must_see_id:
            return None
        if self._logits.shape[0] == 1:
            return self._sampler.prepare(self._logits, self._processors)
        for row in range(self._logits.shape[0]):
            self.accept(self._sampler(self._logits_of(row), self._processors))
        return None

    def accept(self, token: mx.array) -> None:
        """The draw that ``prepare`` asked for."""
        self._early.append(token)
        self._states.append(self._sampler.state)

    def start(self) -> None:
        """Draw early what may be, alone, and start computing."""
        pending = self.prepare()
        if pending is not None:
            self.accept(draw_together([pending])[0])
        mx.async_eval(self.arrays)  # type: ignore[no-untyped-call]

    def take(self) -> Drawn:
        """The draw of the next row under the rules that hold now, all ids before it being known."""
        row, processors = self._row, self._processors_now()
        stands = bool(self._early) and processors == self._processors
        if stands:
            token = self._early[row]
            self._sampler.state = self._states[row + 1]
        else:
            # From here on every row is drawn by itself: earlier draws stand on other rules.
            self.drop()
            token = self._sampler(self._logits_of(row), processors)
        self._row += 1
        measured = self._meter.measure(self._logits_of(row), token) if self._meter else None
        is_checked = self._is_checked and row == 0
        is_finite = mx.isfinite(mx.max(self._logits_of(row))) if is_checked else None
        drawn = Drawn(token, measured, is_finite)
        if not stands or measured is not None or is_checked:
            # In front of the next pass: reading does not wait for that.
            mx.async_eval(drawn.arrays)  # type: ignore[no-untyped-call]
        return drawn

    def drop(self) -> None:
        """Take back the draws that were made and not taken."""
        if self._early:
            self._sampler.state = self._states[self._row]
            self._early = []

    def _logits_of(self, row: int) -> mx.array:
        return self._logits if self._logits.shape[0] == 1 else self._logits[row : row + 1]

    def _processors_now(self) -> tuple[LogitsProcessor, ...]:
        return self._steering.processors if self._steering else ()
