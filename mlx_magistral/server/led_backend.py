"""LedBackend: a backend over several machines, whose replies end at once where one is lost.

MLX hangs then, or raises in whichever reply it was computing for; here all of them are told which
machine it was, and what comes after is refused.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mlx_magistral.errors import ClusterError, MagistralError
from mlx_magistral.events import Event, Finished
from mlx_magistral.server.backend import Backend, BackendStats, GenerationRequest, OnEvent, Ticket


class Watched(Protocol):
    """What knows of lost machines; cluster's Leader."""

    def wait_for_loss(self) -> None:
        """Wait until a loss is told of, if there is one."""


class LedBackend:
    """A Backend around another; ``lose`` ends all of its replies."""

    def __init__(self, inner: Backend, watched: Watched) -> None:
        self._inner = inner
        self._watched = watched
        self._open: dict[int, _Reply] = {}
        self._lost: ClusterError | None = None
        self._changing = threading.Lock()

    def lose(self, error: ClusterError) -> None:
        """Tell every reply of the error; safe from any thread."""
        with self._changing:
            self._lost = error
            replies, self._open = list(self._open.values()), {}
        for reply in replies:
            reply.on_event(error)

    @property
    def model_name(self) -> str:
        return self._inner.model_name

    @property
    def model_names(self) -> Sequence[str]:
        return self._inner.model_names

    @property
    def context_tokens(self) -> int:
        return self._inner.context_tokens

    @property
    def facts(self) -> Mapping[str, Any]:
        return self._inner.facts

    @property
    def places(self) -> int:
        return self._inner.places

    def submit(self, request: GenerationRequest, on_event: OnEvent) -> Ticket:
        """See Backend; raises ClusterError where a machine is lost."""
        reply = _Reply(self, on_event)
        with self._changing:
            if self._lost is not None:
                raise self._lost
            self._open[id(reply)] = reply
        try:
            return self._inner.submit(request, reply)
        except MagistralError:
            self._close(reply)
            raise

    def count_tokens(self, request: GenerationRequest) -> int:
        return self._inner.count_tokens(request)

    def stats(self) -> BackendStats:
        return self._inner.stats()

    def close(self, drain_s: float) -> None:
        self._inner.close(drain_s)

    def _close(self, reply: "_Reply") -> bool:
        """Whether the reply was open until now."""
        with self._changing:
            return self._open.pop(id(reply), None) is not None

    def _is_open(self, reply: "_Reply") -> bool:
        with self._changing:
            return id(reply) in self._open


class _Reply:
    """The callback of a reply, which hears of nothing after its end."""

    def __init__(self, backend: LedBackend, on_event: OnEvent) -> None:
        self._backend = backend
        self.on_event = on_event

    def __call__(self, event: Event | MagistralError) -> None:
        if isinstance(event, MagistralError) and isinstance(event.__cause__, RuntimeError):
            # What MLX raises where a machine is lost; who it was is told a moment later.
            self._backend._watched.wait_for_loss()
        if isinstance(event, Finished | MagistralError):
            if self._backend._close(self):
                self.on_event(event)
        elif self._backend._is_open(self):
            self.on_event(event)
