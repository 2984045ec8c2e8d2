"""Links: what ranks compute together, in one order on every rank.

A rank that schedules collectives in another order than the others waits for ever. All of them go
over one stream, which belongs to no thread, in the order in which they are asked for; and whoever
builds a pass starts computing it before the next one is built (rank_model.py).
"""

from collections.abc import Sequence

import mlx.core as mx


class Links:
    """The group of all ranks; ``size`` is at least 2."""

    def __init__(self, group: mx.distributed.Group) -> None:
        self._group = group
        self._stream = mx.new_thread_unsafe_stream(mx.cpu)
        self.rank, self.size = group.rank(), group.size()

    def add_up(self, x: mx.array) -> mx.array:
        """The sum of every rank's x, to the same bits on all."""
        return mx.distributed.all_sum(x, group=self._group, stream=self._stream)

    def from_leader(self, x: mx.array | None, shape: Sequence[int], dtype: mx.Dtype) -> mx.array:
        """Rank 0's x on every rank; the others give None and know its shape."""
        return self.add_up(mx.zeros(shape, dtype) if x is None else x)

    def join(self, x: mx.array) -> mx.array:
        """Every rank's (..., n), one after the other: (..., size * n)."""
        *rows, width = x.shape
        parts = mx.distributed.all_gather(
            x.reshape(1, -1, width), group=self._group, stream=self._stream
        )  # (size, rows, n)
        return parts.swapaxes(0, 1).reshape(*rows, self.size * width)

    def send(self, x: mx.array, to: int) -> mx.array:
        """x, which is on its way to another rank once this is evaluated."""
        return mx.distributed.send(x, to, group=self._group, stream=self._stream)

    def receive(self, shape: Sequence[int], dtype: mx.Dtype, source: int) -> mx.array:
        """What another rank sends."""
        return mx.distributed.recv(shape, dtype, source, group=self._group, stream=self._stream)
