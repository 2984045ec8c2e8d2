"""ReplyPool: jobs in, replies out as they finish, as many at a time as were asked for.

A thin layer over the batching engine: it keeps the engine fed and turns its callbacks, which come
on another thread, into an iterator.
"""

import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mlx_magistral.batching.engine import BatchEngine, BatchOptions
from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.engine.resident import ResidentModel
from mlx_magistral.errors import MagistralError, OverloadedError
from mlx_magistral.events import Event, Finished, FinishReason

# Seconds between two calls of on_tick while nothing finishes.
_TICK_S = 0.5
# A reply says that it has ended a moment before its place is free.
_PLACE_S = 0.005


class Job(NamedTuple):
    """One reply to make, known by its ``key``: ``options`` are keywords of ``Magistral.stream``.

    ``watch`` sees every event of it, on the engine's thread.
    """

    key: Any
    options: Mapping[str, Any]
    watch: Callable[[Event], None] | None = None


@dataclass(frozen=True)
class Made:
    """How a job ended: what was said, or the error.

    ``seconds`` is the time from the first event to the last; it waited for its place before that.
    """

    key: Any
    said: ReplyCollector
    error: MagistralError | None = None
    seconds: float = 0.0


class ReplyPool:
    """Makes up to ``width`` replies at once. Use as a context manager: leaving it cancels all."""

    def __init__(self, model: ResidentModel, width: int) -> None:
        self.tokens = 0  # Said so far, those of replies on their way included.
        self._model = model
        # Enough wait for their place that none stays empty while the next prompt is encoded.
        self._most = width + max(2, width // 2)
        # Replies that end are counted a moment longer.
        self._engine = BatchEngine(model, BatchOptions(max_batch=width, max_queue=2 * self._most))
        self._done: queue.SimpleQueue[Made] = queue.SimpleQueue()

    def __enter__(self) -> "ReplyPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.close(0)

    def make(
        self, jobs: Iterable[Job], on_tick: Callable[[], None] = lambda: None
    ) -> Iterator[Made]:
        """The replies in the order in which they finish; ``on_tick`` is called twice a second.

        Jobs are taken as there is room, so an iterator may decide late what comes next.
        """
        waiting = iter(jobs)
        held: Job | None = None
        running = 0
        while True:
            while running < self._most and (job := held or next(waiting, None)) is not None:
                held = None
                try:
                    self._submit(job)
                except OverloadedError:
                    held = job
                    break
                except MagistralError as error:
                    yield Made(job.key, ReplyCollector(self._model.name), error)
                else:
                    running += 1
            if held is not None and running == 0:
                time.sleep(_PLACE_S)
                continue
            if running == 0:
                return
            try:
                made = self._done.get(timeout=_TICK_S)
            except queue.Empty:
                on_tick()
                continue
            running -= 1
            on_tick()
            yield made

    def _submit(self, job: Job) -> None:
        progress = self._model.begin(**{"speculate": "off", **job.options})
        collector = _Collector(self, job, ReplyCollector(self._model.name))
        self._engine.submit(progress, collector.take)

    def _count(self) -> None:
        self.tokens += 1

    def _finish(self, made: Made) -> None:
        self._done.put(made)


class _Collector:
    """The events of one reply, on the engine's thread."""

    def __init__(self, pool: ReplyPool, job: Job, said: ReplyCollector) -> None:
        self._pool = pool
        self._job = job
        self._said = said
        self._started: float | None = None

    def take(self, event: Event | MagistralError) -> None:
        now = time.monotonic()
        if self._started is None:
            self._started = now
        if isinstance(event, MagistralError):
            self._end(event, now)
            return
        if self._job.watch is not None:
            self._job.watch(event)
        self._said.feed(event)
        if not isinstance(event, Finished):
            self._pool._count()
        elif event.reason is not FinishReason.INTERRUPTED:
            self._end(None, now)

    def _end(self, error: MagistralError | None, now: float) -> None:
        assert self._started is not None
        self._pool._finish(Made(self._job.key, self._said, error, now - self._started))
