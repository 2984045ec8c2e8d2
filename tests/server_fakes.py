"""A backend that follows a script, so that protocols are tested without a model."""

import threading
from collections.abc import Mapping
from typing import Any

from mlx_magistral.errors import ContextLengthError, MagistralError, OverloadedError
from mlx_magistral.events import (
    ContentDelta,
    Event,
    Finished,
    FinishReason,
    Progress,
    ReasoningDelta,
    Timings,
    Usage,
)
from mlx_magistral.server.backend import BackendStats, GenerationRequest, OnEvent

FINISHED = Finished(FinishReason.STOP, Usage(7, 3, 1, 2), Timings(0, 0.1, 0, 0, 0))
SCRIPT: list[Event | MagistralError] = [ReasoningDelta("hm"), ContentDelta("85"), FINISHED]


class FakeTicket:
    """Remembers that it was cancelled."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.progress = Progress(7, 2, 7, 0.1, 3, 0.2)

    def cancel(self) -> None:
        self.cancelled.set()

    def answer_now(self) -> None:
        pass


class FakeBackend:
    """Plays ``script`` at every request, or raises ``refusal``."""

    model_name = "fake"
    model_names = ("fake",)
    context_tokens = 100
    places = 16
    facts: Mapping[str, Any] = {"n_params": 1}

    def __init__(self) -> None:
        self.script = list(SCRIPT)
        self.refusal: MagistralError | None = None  # of all requests
        self.refusals: list[MagistralError] = []  # of the next ones
        self.requests: list[GenerationRequest] = []
        self.tickets: list[FakeTicket] = []

    def submit(self, request: GenerationRequest, on_event: OnEvent) -> FakeTicket:
        if self.refusal is not None:
            raise self.refusal
        if self.refusals:
            raise self.refusals.pop(0)
        self.requests.append(request)
        self.tickets.append(FakeTicket())
        for event in self.script:
            on_event(event)
        return self.tickets[-1]

    def count_tokens(self, request: GenerationRequest) -> int:
        return 7

    def stats(self) -> BackendStats:
        return BackendStats(0, 0, 10**9)

    def close(self, drain_s: float) -> None:
        pass


OVERLOADED = OverloadedError("The queue is full.", 3)
TOO_LONG = ContextLengthError(200, 100)
