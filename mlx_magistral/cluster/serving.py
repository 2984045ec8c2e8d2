"""A server whose ring may break: 503 for whoever asks meanwhile, and the ring formed again.

MLX forms its group once in a process, so that all ranks are started anew. This process keeps the
port, imports no mlx, and answers only while rank 0 does not.
"""

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from mlx_magistral.cluster.hosts import Hosts
from mlx_magistral.cluster.launch import LOST, Ranks, shown_code
from mlx_magistral.errors import ClusterError

_LOOK_S = 0.1
# Between attempts, twice as long each time up to the longest.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 15.0
_RETRY_S = 5

# The body of an error in the shape of the API that a path belongs to.
ErrorBody = Callable[[str, str], bytes]


class Refusing:
    """Answers 503 at a listening socket for as long as it is entered."""

    def __init__(self, listener: socket.socket, body: ErrorBody) -> None:
        self._server = _Server(listener, body)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Refusing":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Answer from now on."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._server.serve_forever, args=(_LOOK_S,))
            self._thread.daemon = True
            self._thread.start()

    def stop(self) -> None:
        """Leave the socket to somebody else."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, body: ErrorBody) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.body = body

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        # The listener may be set to not block, by whoever serves on it in turn.
        connection.settimeout(_RETRY_S)
        return connection, address


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        text = f"The ring of several machines is being formed. Ask again in {_RETRY_S} s."
        body = self.server.body(self.path, text)
        self.send_response(503)
        self.send_header("content-type", "application/json")
        self.send_header("retry-after", str(_RETRY_S))
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        length = self.headers.get("content-length", "0")
        if length.isdigit():  # unread, it would reset the connection before the answer is read
            self.rfile.read(min(int(length), 1 << 20))

    do_POST = do_DELETE = do_OPTIONS = do_HEAD = do_GET

    def log_message(self, format: str, *details: object) -> None:
        """Nothing: rank 0 says what there is to say."""


def serve(hosts: Hosts, program: Sequence[str], listener: socket.socket, body: ErrorBody) -> int:
    """The server on all hosts, until it ends by itself or by a signal; returns its exit code.

    A ring that breaks is formed again once it has served, and again where that fails. Raises
    ClusterError for one that could not be formed at all.
    """
    signals: list[int] = []
    current: list[Ranks] = []

    def on_signal(number: int, frame: object) -> None:
        signals.append(number)
        for ranks in current:
            # A terminal sends Ctrl-C to rank 0 by itself.
            if number != signal.SIGINT:
                ranks.interrupt(number)
        if not current or len(signals) > 2:
            raise KeyboardInterrupt

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    has_served, wait_s = False, _FIRST_WAIT_S
    try:
        with Refusing(listener, body) as refusing:
            while True:
                began, is_ready = time.monotonic(), False
                try:
                    with Ranks(hosts, program, listener.fileno()) as ranks:
                        current.append(ranks)
                        code = _serve_once(ranks, refusing)
                        is_ready = ranks.is_ready
                        has_served = has_served or is_ready
                except ClusterError as error:
                    if not has_served:
                        raise
                    code = LOST
                    print(f"error: {error}", file=sys.stderr, flush=True)
                finally:
                    current.clear()
                # A ring that did not come to be again has rank 0's own words for why.
                is_over = code != LOST and is_ready
                if is_over or not has_served or signals:
                    return shown_code(code)
                refusing.start()
                wait_s = _FIRST_WAIT_S if time.monotonic() - began > 60 else wait_s
                print("The ring is being formed again.", file=sys.stderr, flush=True)
                time.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve_once(ranks: Ranks, refusing: Refusing) -> int:
    while (code := ranks.poll()) is None:
        if ranks.is_ready:
            refusing.stop()
        time.sleep(_LOOK_S)
    return code
