"""Forming the group on rank 0: followers come, say what they are, and all join at once."""

import atexit
import os
import socket
import threading
import time

from mlx_magistral.cluster.call import Call
from mlx_magistral.cluster.hello import COME_S, difference, free_port, take_hellos, versions
from mlx_magistral.cluster.joining import group_plan, join
from mlx_magistral.cluster.leader import Leader
from mlx_magistral.errors import ClusterError


def form(call: Call) -> Leader:
    """Be rank 0 of the hosts of a call. Raises ClusterError naming who is missing or differs.

    The group is left when this process ends.
    """
    threading.Thread(target=_end_with_launcher, args=(call.lifeline,), daemon=True).start()
    names = [host.name for host in call.hosts]
    with socket.socket(fileno=call.listener) as listener:
        followers = take_hellos(listener, names, call.token, time.monotonic() + COME_S)
    for rank, (_, message) in sorted(followers.items()):
        if problem := difference(versions(), message, names[rank]):
            raise ClusterError(problem)
    ports = [free_port(call.hosts[0].address)]
    ports += [message["port"] for _, (_, message) in sorted(followers.items())]
    addresses = [host.address for host in call.hosts]
    plan = group_plan(call.backend, addresses, ports, [host.rdma for host in call.hosts])
    for wire, _ in followers.values():
        wire.send({"op": "join", "plan": plan})
    os.write(call.status, b"joining\n")
    links = join(0, plan)
    os.write(call.status, b"joined\n")
    leader = Leader(links, call.hosts, followers)
    leader.call = call
    atexit.register(leader.leave)
    return leader


def _end_with_launcher(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os._exit(1)
