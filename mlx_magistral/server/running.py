"""From a backend's callbacks to an async iterator, and from a lost client to a cancelled ticket."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from starlette.types import Receive

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.errors import MagistralError
from mlx_magistral.events import Event, Finished, Progress
from mlx_magistral.server.api_errors import ApiError, from_error
from mlx_magistral.server.backend import Backend, GenerationRequest, Ticket
from mlx_magistral.server.mailbox import Mailbox
from mlx_magistral.server.metrics import Metrics

log = logging.getLogger("mlx_magistral.server")


class ClientGone(Exception):
    """The client closed the connection; nobody reads what would follow."""


class Run:
    """The replies of one HTTP request: ``n`` tickets, their events in one queue.

    Use as an async context manager: leaving it, for whatever reason, cancels what still runs.
    """

    def __init__(
        self, backend: Backend, metrics: Metrics, mailbox: Mailbox, timeout_s: float
    ) -> None:
        self._backend = backend
        self._metrics = metrics
        self._mailbox = mailbox
        self._loop = mailbox.loop
        self._deadline = self._loop.time() + timeout_s
        self._is_gone = False
        # None wakes whoever waits when the client is gone.
        self._queue: asyncio.Queue[tuple[int, Event | MagistralError] | None] = asyncio.Queue()
        self._tickets: dict[int, Ticket] = {}  # of replies that go on
        self._started: dict[int, Ticket] = {}
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Run":
        return self

    async def __aexit__(self, *details: object) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        for ticket in self._tickets.values():
            ticket.cancel()
        if self._tickets:
            self._metrics.cancelled.inc(len(self._tickets))
        self._tickets.clear()

    async def start(self, requests: Sequence[GenerationRequest], receive: Receive) -> None:
        """Submit all; raises ApiError where the backend refuses one."""
        for index, request in enumerate(requests):
            try:
                # Encoding a long prompt takes a while: not on the thread that serves the others.
                self._tickets[index] = self._started[index] = await asyncio.to_thread(
                    self._backend.submit, request, self._callback(index)
                )
            except MagistralError as error:
                raise _logged(error) from error
        self._watcher = asyncio.create_task(self._watch(receive))

    def has_more(self) -> bool:
        """Whether an event is there that nobody has taken."""
        return not self._queue.empty()

    def progress(self) -> dict[int, Progress]:
        """How far each reply is, those that have ended included."""
        return {index: ticket.progress for index, ticket in self._started.items()}

    def answer_now(self) -> None:
        """End the thinking of every reply, so that its answer begins."""
        for ticket in self._tickets.values():
            ticket.answer_now()

    async def events(self, keep_alive_s: float) -> AsyncIterator[tuple[int, Event] | None]:
        """Every event with the index of its reply; None where a keep-alive is due.

        Raises ApiError for a reply that failed or took too long, ClientGone for a lost client.
        """
        while self._tickets:
            item = await self._next(keep_alive_s)
            if item is None:
                yield None
                continue
            index, event = item
            if isinstance(event, MagistralError):
                del self._tickets[index]
                raise _logged(event) from event
            if isinstance(event, Finished):
                del self._tickets[index]
                self._metrics.count(event)
            yield index, event

    async def _next(self, wait_s: float) -> tuple[int, Event | MagistralError] | None:
        if self._is_gone:  # What is in the queue would be written to nobody.
            raise ClientGone
        left = self._deadline - self._loop.time()
        if left <= 0:
            raise ApiError(504, "The reply took longer than --request-timeout.", "timeout")
        try:
            # Asking first spares a timer for each of many tokens.
            item = self._queue.get_nowait()
        except asyncio.QueueEmpty:
            try:
                item = await asyncio.wait_for(self._queue.get(), min(wait_s, left))
            except TimeoutError:
                return None
        if item is None:
            raise ClientGone
        return item

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        for ticket in self._tickets.values():
            ticket.cancel()
        self._queue.put_nowait(None)

    def _callback(self, index: int) -> Any:
        def on_event(event: Event | MagistralError) -> None:
            self._mailbox.post(self._queue.put_nowait, (index, event))

        return on_event


class Watch(Protocol):
    """Sees every event of every reply."""

    def feed(self, index: int, event: Event) -> object: ...


async def collect(
    run: Run, count: int, model: str, watch: Watch | None = None
) -> list[ReplyCollector]:
    """All replies, whole."""
    collectors = [ReplyCollector(model) for _ in range(count)]
    async for item in run.events(keep_alive_s=60.0):
        if item is not None:
            collectors[item[0]].feed(item[1])
            if watch is not None:
                watch.feed(*item)
    return collectors


def _logged(error: MagistralError) -> ApiError:
    found = from_error(error)
    if found.status == 500:
        log.error("a request failed: %s", type(error).__name__, exc_info=error)
    return found
