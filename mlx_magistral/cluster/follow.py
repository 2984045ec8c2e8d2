"""The process of a rank but 0: ``python -m mlx_magistral.cluster.follow LEADER PORT RANK ADDRESS``.

The first line of standard input is the launcher's token; the end of it ends this process.
"""

import os
import socket
import sys
import threading

from mlx_magistral.cluster.follower import Follower
from mlx_magistral.cluster.hello import COME_S, first_message, hello
from mlx_magistral.cluster.joining import join
from mlx_magistral.cluster.wire import Wire
from mlx_magistral.errors import ClusterError, MagistralError

_CONNECT_S = 10.0


def main() -> None:
    """Come to the leader, say what this machine is, and follow."""
    leader, port, rank, address = sys.argv[1:]
    token = _first_line()
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    try:
        wire = _connect(leader, int(port))
        wire.send(hello(int(rank), token, address))
        plan = first_message(wire, 2 * COME_S)
        if plan.get("op") != "join":
            sys.exit(1)  # rank 0 says why
        links = join(int(rank), plan["plan"])
    except MagistralError as error:
        sys.exit(f"error: {error}")
    Follower(links, wire).run()


def _connect(leader: str, port: int) -> Wire:
    try:
        return Wire(socket.create_connection((leader, port), _CONNECT_S))
    except OSError as error:
        raise ClusterError(
            f"rank 0 at {leader} port {port} cannot be reached: {error.strerror or error}. A "
            "firewall may be in the way."
        ) from error


def _first_line() -> str:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line.decode().strip()


def _end_with_launcher() -> None:
    # Not by sys.stdin, whose lock a thread may not hold while Python ends.
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
