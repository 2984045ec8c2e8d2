"""uvicorn under our terms: the port first, a limit on slow headers, a drain on a signal."""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from mlx_magistral.errors import MagistralError
from mlx_magistral.server.backend import Backend

# A client has so long for the whole of its headers.
HEADER_TIMEOUT_S = 15.0
# What uvicorn waits beyond the drain, so that cancelled replies still end as they should.
_AFTER_DRAIN_S = 3


def bind(host: str, port: int) -> socket.socket:
    """The listening socket, before a model is loaded; raises MagistralError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            text = f"Port {port} of {host} is in use. Stop what uses it, or choose another --port."
            raise MagistralError(text) from error
        raise MagistralError(f"Cannot listen on {host} port {port}: {error.strerror}.") from error
    return listener


class TimedProtocol(H11Protocol):
    """h11, with a limit on how long headers may take to come."""

    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_headers()

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(error)

    def _watch_headers(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer()
        elif self._header_timer is None:
            self._header_timer = self.loop.call_later(HEADER_TIMEOUT_S, self.transport.close)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


class DrainingServer(uvicorn.Server):
    """On a signal the backend finishes what runs, ``drain_s`` seconds at most; a second ends it."""

    def __init__(self, app: ASGIApp, backend: Backend, drain_s: float) -> None:
        config = uvicorn.Config(
            app,
            http=TimedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=int(drain_s) + _AFTER_DRAIN_S,
        )
        super().__init__(config)
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self._backend = backend
        self._drain_s = drain_s
        self.signal: int | None = None

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        """First signal: drain. Second: at once."""
        if self.should_exit:
            self.force_exit = True
            self._close(0.0)
            return
        self.signal = number
        self.should_exit = True
        self._close(self._drain_s)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises the signal again at the end; ours is done with it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _close(self, drain_s: float) -> None:
        threading.Thread(target=self._backend.close, args=(drain_s,), daemon=True).start()
