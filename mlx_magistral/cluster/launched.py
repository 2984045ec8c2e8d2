"""A process that mlx.launch has started: the group first, then the wires, by what it shares.

mlx.launch runs the same command on every rank, copies standard input to all and mixes what they
print, so the followers read and print nothing.
"""

import atexit
import json
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.cluster.call import Host
from mlx_magistral.cluster.follower import Follower
from mlx_magistral.cluster.hello import difference, hello, take_hellos, versions
from mlx_magistral.cluster.leader import Leader
from mlx_magistral.cluster.links import Links
from mlx_magistral.cluster.wire import Wire
from mlx_magistral.errors import ClusterError

_COME_S = 30.0
_TOKEN_NUMBERS = 4


def is_launched() -> bool:
    """Whether mlx.launch has started this process as one of several."""
    return "MLX_RANK" in os.environ and bool(_addresses())


def enter() -> Leader | None:
    """The leader that this process is; None on a follower, after it has followed to the end.

    Raises ClusterError naming who is missing or differs.
    """
    addresses = _addresses()
    backend = "ring" if os.environ.get("MLX_HOSTFILE") else "jaccl"
    try:
        links = Links(mx.distributed.init(strict=True, backend=backend))
    except RuntimeError as error:
        rank = os.environ["MLX_RANK"]
        raise ClusterError(f"rank {rank} cannot join the others: {error}") from error
    hosts = [Host(address, address) for address in addresses]
    if links.rank == 0:
        return _lead(links, hosts)
    port, token = _shared(links, 0, "")
    wire = Wire(socket.create_connection((addresses[0], port), _COME_S))
    wire.send(hello(links.rank, token, None))
    Follower(links, wire).run()
    return None


def _lead(links: Links, hosts: list[Host]) -> Leader:
    token = "".join(f"{secrets.randbits(24):06x}" for _ in range(_TOKEN_NUMBERS))
    with socket.create_server((hosts[0].address, 0)) as listener:
        _shared(links, listener.getsockname()[1], token)
        names = [host.name for host in hosts]
        followers = take_hellos(listener, names, token, time.monotonic() + _COME_S)
    for rank, (_, message) in sorted(followers.items()):
        if problem := difference(versions(), message, names[rank]):
            raise ClusterError(problem)
    leader = Leader(links, hosts, followers)
    atexit.register(leader.leave)
    return leader


def _shared(links: Links, port: int, token: str) -> tuple[int, str]:
    """Rank 0's port and token, on every rank."""
    numbers = [port, *(int(token[at : at + 6] or "0", 16) for at in range(0, 24, 6))]
    shared: Any = links.add_up(mx.array(numbers, mx.int32)).tolist()
    return int(shared[0]), "".join(f"{part:06x}" for part in shared[1:])


def _addresses() -> list[str]:
    """Of every rank, as mlx.launch gives them; empty where it gives none."""
    file = os.environ.get("MLX_HOSTFILE")
    if file:
        table = json.loads(Path(file).read_text())
        return [places[0].rpartition(":")[0] for places in table]
    devices = os.environ.get("MLX_IBV_DEVICES")
    coordinator = os.environ.get("MLX_JACCL_COORDINATOR")
    if not devices or not coordinator:
        return []
    count = len(json.loads(Path(devices).read_text()))
    # JACCL names no address but the first; those of the others are for people alone.
    return [coordinator.rpartition(":")[0], *(f"rank {rank}" for rank in range(1, count))]
