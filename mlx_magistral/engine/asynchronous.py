"""AsyncReplyStream: a reply's events on an event loop.

The model computes on the thread that in_turn has for everybody; the loop never waits for it. An
event is asked for when the caller asks, so a loop that is left computes nothing more, and replies
of several tasks take turns, an id at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from mlx_magistral.engine.streaming import ReplyStream
from mlx_magistral.engine.turn import in_turn_later
from mlx_magistral.events import Event


class AsyncReplyStream:
    """One reply on its way: an async iterator of events that ends with Finished.

    What cannot be asked for is raised at the first event. Where the task is cancelled, the reply
    is; ``on_prefill`` and other callbacks come on another thread.
    """

    def __init__(self, begin: Callable[[], ReplyStream]) -> None:
        self._begin = begin
        self._stream: ReplyStream | None = None
        self._is_cancelled = False
        self._must_answer = False

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        stream = self._stream or await self._begun()
        try:
            # A future cannot raise StopIteration.
            event = await asyncio.wrap_future(in_turn_later(lambda: next(stream, None)))
        except asyncio.CancelledError:
            stream.cancel()
            raise
        if event is None:
            raise StopAsyncIteration
        return event

    @property
    def is_thinking(self) -> bool:
        """Whether the reply is inside a think block right now."""
        return self._stream is not None and self._stream.is_thinking

    def answer_now(self) -> None:
        """Close the thinking within one token and go on to the answer; from any thread."""
        self._must_answer = True
        if self._stream is not None:
            self._stream.answer_now()

    def cancel(self) -> None:
        """End the reply within one token; the events still end with Finished. From any thread."""
        self._is_cancelled = True
        if self._stream is not None:
            self._stream.cancel()

    async def _begun(self) -> ReplyStream:
        # Making a long prompt's ids takes a while.
        stream = self._stream = await asyncio.to_thread(self._begin)
        if self._must_answer:
            stream.answer_now()
        if self._is_cancelled:
            stream.cancel()
        return stream
