"""Ask a backend and wait for what comes, on events alone."""

import threading
from collections.abc import Callable
from typing import Any

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.errors import MagistralError
from mlx_magistral.events import Event, Finished, Reply
from mlx_magistral.server.backend import Backend, GenerationRequest

WAIT_S = 60.0


class Asked:
    """One request to a backend: its events so far, and its end."""

    def __init__(
        self,
        backend: Backend,
        messages: Any = "What is 37 + 48?",
        *,
        on_event: Callable[["Asked", Event], None] | None = None,
        **fields: Any,
    ) -> None:
        self.events: list[Event] = []
        self.error: MagistralError | None = None
        self.has_begun = threading.Event()
        self._is_over = threading.Event()
        self._is_ready = threading.Event()
        self._on_event = on_event
        known = GenerationRequest.__dataclass_fields__.keys()
        options = {name: fields.pop(name) for name in fields.keys() - known}
        asked = None if fields.get("prompt") is not None else messages
        request = GenerationRequest(messages=asked, options=options, **fields)
        self.ticket = backend.submit(request, self._take)
        self._is_ready.set()

    def _take(self, event: Event | MagistralError) -> None:
        self._is_ready.wait(WAIT_S)
        if isinstance(event, MagistralError):
            self.error = event
            self._is_over.set()
            return
        self.events.append(event)
        self.has_begun.set()
        if isinstance(event, Finished):
            self._is_over.set()
        if self._on_event is not None:
            self._on_event(self, event)

    def wait(self) -> "Asked":
        assert self._is_over.wait(WAIT_S), "the reply does not end"
        return self

    @property
    def reply(self) -> Reply:
        assert self.wait().error is None, self.error
        return collect(self.events)


def collect(events: Any) -> Reply:
    collector = ReplyCollector("nano")
    for event in events:
        collector.feed(event)
    return collector.reply()


def said(reply: Reply) -> tuple[Any, ...]:
    """What has to be equal in two replies to the same request; call ids are random."""
    calls = [(call.name, call.arguments) for call in reply.tool_calls]
    return reply.reasoning, reply.content, calls, reply.finish_reason, reply.usage
