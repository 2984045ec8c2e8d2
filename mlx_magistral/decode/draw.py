"""The draw of the next id: made before the current one is known, and redone where rules object."""

import mlx.core as mx

from mlx_magistral.decode.rules.steering import Steering
from mlx_magistral.decode.sampling import PendingDraw, Sampler, draw_together


class Draw:
    """A draw that is made early where the rules allow it, and redone if they changed.

    A draw that is redone uses its random number again, so one that comes out the same is the same.
    """

    def __init__(self, sampler: Sampler, steering: Steering | None) -> None:
        self._sampler = sampler
        self._steering = steering
        self._processors = steering.processors if steering else ()
        self._logits: mx.array | None = None
        self._token: mx.array | None = None

    def prepare(self, logits: mx.array) -> PendingDraw | None:
        """The draw, to be made and given to ``accept``; None where it has to wait."""
        self._logits = logits
        if self._steering and self._steering.must_see_id:
            return None
        return self._sampler.prepare(logits, self._processors)

    def accept(self, token: mx.array) -> None:
        """The draw that ``prepare`` asked for."""
        self._token = token

    def dispatch(self, logits: mx.array) -> mx.array:
        """Draw, unless that has to wait; returns what to start computing."""
        pending = self.prepare(logits)
        if pending is None:
            return logits
        [token] = draw_together([pending])
        self.accept(token)
        return token

    def settled(self) -> mx.array:
        """The draw under the processors that hold now."""
        assert self._logits is not None
        processors = self._steering.processors if self._steering else ()
        if self._token is None or processors != self._processors:
            self.drop()
            self._token = self._sampler(self._logits, processors)
            mx.async_eval(self._token)  # type: ignore[no-untyped-call]
        return self._token

    def drop(self) -> None:
        """Take back a draw that was made."""
        if self._token is not None:
            self._sampler.undo()
