"""Hello: what each rank says of itself before the ring is formed, and whether the ranks agree."""

import os
import platform
import socket
import time
from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from mlx_magistral.cluster.wire import Message, Wire
from mlx_magistral.errors import ClusterError
from mlx_magistral.memory.machine import Backend, Machine, free_memory_bytes, this_machine
from mlx_magistral.version import __version__

# For who has connected to say who that is.
_SAY_S = 5.0
# For all to come: python and mlx are imported from a cold disk meanwhile.
COME_S = 60.0
# What has to be equal on all ranks, and its name for people.
_EQUAL = {"version": "mlx-magistral", "mlx": "mlx", "python": "python"}


def hello(rank: int, token: str, address: str | None) -> Message:
    """What a follower says first; ``port`` is one that it can listen on at its address."""
    machine = this_machine()
    return {
        "op": "hello",
        "rank": rank,
        "token": token,
        "pid": os.getpid(),
        "port": 0 if address is None else free_port(address),
        "machine": machine_dict(machine),
        "free_bytes": free_memory_bytes(),
        **versions(),
    }


def versions() -> dict[str, str]:
    """What has to be the same on every rank."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"version": __version__, "mlx": mx.__version__, "python": python}  # type: ignore[attr-defined]


def difference(own: dict[str, Any], other: dict[str, Any], name: str) -> str | None:
    """What differs in the versions of two ranks and what to do about it; None for nothing."""
    for key, package in _EQUAL.items():
        if own.get(key) != other.get(key):
            advice = f"Install {own.get(key)} there"
            return f"{name} has {package} {other.get(key)} and this one {own.get(key)}. {advice}."
    return None


def free_port(address: str) -> int:
    """A port of this machine that nobody listens on just now; raises ClusterError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            raise ClusterError(f"{address} is no address of this machine: {error.strerror}.") from (
                error
            )
        port: int = probe.getsockname()[1]
    return port


def machine_dict(machine: Machine) -> dict[str, Any]:
    """A machine as it goes over the wire."""
    return {
        "name": machine.name,
        "backend": machine.backend.value,
        "limit_bytes": machine.limit_bytes,
        "memory_bytes": machine.memory_bytes,
    }


def machine_from(content: dict[str, Any]) -> Machine:
    """The inverse of machine_dict."""
    return Machine(**{**content, "backend": Backend(content["backend"])})


def take_hellos(
    listener: socket.socket, names: Sequence[str], token: str, deadline: float
) -> dict[int, tuple[Wire, Message]]:
    """Wire and hello of each rank but 0; raises ClusterError naming who is missing.

    Whoever does not know the token is sent away.
    """
    found: dict[int, tuple[Wire, Message]] = {}
    while len(found) < len(names) - 1:
        listener.settimeout(max(deadline - time.monotonic(), 0.01))
        try:
            connection, _ = listener.accept()
        except TimeoutError as error:
            missing = [names[rank] for rank in range(1, len(names)) if rank not in found]
            raise ClusterError(f"{', '.join(missing)} did not come within a minute.") from error
        wire = Wire(connection)
        message = first_message(wire, _SAY_S)
        rank = int(message.get("rank", 0))
        if message.get("token") != token or rank in found or rank not in range(1, len(names)):
            wire.close()
            continue
        found[rank] = wire, message
    return found


def first_message(wire: Wire, wait_s: float) -> Message:
    """The next message; empty where none comes in so many seconds."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        try:
            messages = wire.read()
        except TimeoutError:
            continue
        except (OSError, ClusterError):
            return {}  # somebody who knocked at the wrong door, or who is gone
        if messages is None:
            return {}
        if messages:
            return messages[0]
    return {}
