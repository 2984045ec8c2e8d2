"""BatchEngine: the thread that all replies of a model are made on, and the queue in front of it.

Other threads submit, cancel and ask for numbers; events are told from the engine's thread, in
order. Nothing here ends in the middle for want of memory: what has no room waits, which costs none,
and where too many wait already a new reply is refused with the time to come back.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass

from mlx_magistral.batching.scheduler import Scheduler
from mlx_magistral.batching.sequence import OnEvent, Sequence
from mlx_magistral.engine.progress import ReplyProgress
from mlx_magistral.engine.resident import ResidentModel
from mlx_magistral.engine.turn import own_turn
from mlx_magistral.errors import OverloadedError, QueueFullError
from mlx_magistral.memory.pressure import Pressure

# Clients of OpenAI and Anthropic do not wait longer.
_LONGEST_RETRY_S = 60
_DRAIN_RETRY_S = 5
# Of the latest reply's duration in the mean that retry times come from.
_LATEST_WEIGHT = 0.25


@dataclass(frozen=True)
class BatchOptions:
    """How many replies decode together and how many may wait.

    After ``idle_unload_s`` seconds without work the weights are given back, and read again for the
    next reply; None keeps them.
    """

    max_batch: int = 8
    max_queue: int = 64
    idle_unload_s: float | None = None


class BatchEngine:
    """Starts its thread when made; ``close`` ends it."""

    def __init__(self, model: ResidentModel, options: BatchOptions) -> None:
        self._model = model
        self._options = options
        self._scheduler = Scheduler(model, options.max_batch)
        self._waiting: deque[Sequence] = deque()
        self._changed = threading.Condition()  # guards all of the fields below and the queue
        self._running_bytes = 0
        self._running_count = 0
        self._reply_s = 1.0
        self._is_closing = False
        self._is_cancelling = False
        self._thread = threading.Thread(target=self._run, name="mlx-magistral", daemon=True)
        self._thread.start()

    def submit(
        self, progress: ReplyProgress, on_event: OnEvent, variant: ResidentModel | None = None
    ) -> Sequence:
        """Queue a reply; raises OverloadedError where it would have to wait too long.

        ``variant`` is one of the model's, where the reply is not the model's own.
        """
        sequence = Sequence(progress, on_event, variant or self._model)
        with self._changed:
            self._require_place()
            self._waiting.append(sequence)
            self._changed.notify_all()
        return sequence

    @property
    def counts(self) -> tuple[int, int]:
        """Replies that run and that wait."""
        with self._changed:
            return self._running_count, len(self._waiting)

    @property
    def free_bytes(self) -> int:
        """KV bytes that no running reply has taken."""
        with self._changed:
            return max(self._scheduler.kv_budget.total_bytes - self._running_bytes, 0)

    def close(self, drain_s: float) -> None:
        """Take nothing more, wait for what there is, and cancel what is left after ``drain_s``."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(max(drain_s, 0))
        self._is_cancelling = True
        self._thread.join()

    def _require_place(self) -> None:
        if self._is_closing:
            raise OverloadedError("The server is shutting down.", _DRAIN_RETRY_S)
        waiting = len(self._waiting)
        ahead = waiting + self._running_count
        if ahead and self._scheduler.is_short_of_memory:
            raise OverloadedError(
                f"The machine is short of memory. Ask again in {_DRAIN_RETRY_S} s.", _DRAIN_RETRY_S
            )
        retry_s = min(int(ahead / self._options.max_batch * self._reply_s) + 1, _LONGEST_RETRY_S)
        if ahead >= self._options.max_batch + self._options.max_queue:
            raise QueueFullError(
                f"{waiting} replies are waiting already. Ask again in {retry_s} s.", retry_s
            )

    @property
    def pressure(self) -> Pressure:
        """How short of memory the machine is."""
        return self._scheduler.pressure.level

    def _run(self) -> None:
        with self._scheduler.pressure:
            self._work()

    def _work(self) -> None:
        while self._wait_for_work():
            with own_turn():  # a stream of the same model may be on its way as well
                self._step()

    def _step(self) -> None:
        while (sequence := self._next()) is not None:
            self._scheduler.start(sequence)
        if self._is_cancelling:
            for sequence in self._scheduler.running:
                sequence.cancel()
        before = self._scheduler.running
        paused = self._scheduler.step()
        for sequence in before:
            if sequence.is_over:
                taken_s = time.monotonic() - sequence.started
                self._reply_s += (taken_s - self._reply_s) * _LATEST_WEIGHT
        with self._changed:
            self._waiting.extendleft(reversed(paused))
            self._publish()
        self._scheduler.write_prompts(self._is_idle)

    def _is_idle(self) -> bool:
        with self._changed:
            return not (self._waiting or self._scheduler.running)

    def _wait_for_work(self) -> bool:
        """False when there is none and none will come."""
        while True:
            with self._changed:
                if self._waiting or self._scheduler.running:
                    return True
                if self._is_closing:
                    return False
                idle_s = self._options.idle_unload_s if self._model.is_loaded else None
                has_changed = self._changed.wait(idle_s)
            if not has_changed:
                self._model.unload()

    def _next(self) -> Sequence | None:
        """Who may start now, in turn; who has lost interest needs no place and leaves at once."""
        with self._changed:
            if self._is_cancelling:
                for sequence in self._waiting:
                    sequence.cancel()
            leaving = next((sequence for sequence in self._waiting if sequence.is_cancelled), None)
            if leaving is None and not (
                self._waiting and self._scheduler.has_place_for(self._waiting[0])
            ):
                return None
            sequence = leaving or self._waiting[0]
            self._waiting.remove(sequence)
            # Whoever hears that a waiting reply has left may ask at once: it never counts as one
            # that runs.
            starting = () if leaving else (sequence,)
            self._publish(*starting)
            return sequence

    def _publish(self, *starting: Sequence) -> None:
        scheduler = self._scheduler
        self._running_count = len(scheduler.running) + len(starting)
        lengths = [scheduler.first_length(sequence) for sequence in starting]
        self._running_bytes = scheduler.running_bytes + scheduler.kv_budget.bytes_for_all(lengths)
