"""Wire: JSON messages over one TCP connection, each with its length before it.

Safe for one reader and any number of writers. Knows nothing of what is said.
"""

import json
import socket
import struct
import threading
from typing import Any

from mlx_magistral.errors import ClusterError

Message = dict[str, Any]

# A prompt of 131,072 ids takes a megabyte; what says more is no message of ours.
_MOST_BYTES = 64 << 20
_LENGTH = struct.Struct("!I")
_WRITE_S = 5.0


class Wire:
    """A connected socket, which is the wire's own from now on."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_WRITE_S)
        self._socket = connection
        self._writing = threading.Lock()
        self._buffer = bytearray()

    def fileno(self) -> int:
        """For ``select``."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Write a message; raises OSError where the other end is gone or takes nothing."""
        body = json.dumps(message, separators=(",", ":")).encode()
        with self._writing:
            self._socket.sendall(_LENGTH.pack(len(body)) + body)

    def read(self) -> list[Message] | None:
        """What came, waiting for some bytes at most; None once the other end has closed.

        Raises OSError, and ClusterError for what is no message.
        """
        chunk = self._socket.recv(1 << 16)
        if not chunk:
            return None
        self._buffer += chunk
        found: list[Message] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > _MOST_BYTES:
                raise ClusterError("Somebody who is no rank of ours talks to this port.")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            found.append(_parsed(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return found

    def close(self) -> None:
        """End the connection; whoever waits in ``read`` gets None or OSError."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed already
        self._socket.close()


def _parsed(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise ClusterError("A message of a rank is damaged. Start again.") from error
    if not isinstance(message, dict):
        raise ClusterError("A message of a rank is damaged. Start again.")
    return message
