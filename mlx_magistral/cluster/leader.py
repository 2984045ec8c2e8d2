"""Leader: rank 0's side of the wires. It tells followers what comes, and hears that they are there.

What is lost on the way ends this process, since MLX can neither be interrupted in a collective nor
form a group twice: ``on_lost`` first tells whoever waits for a reply.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from mlx_magistral.cluster.call import Call, Host
from mlx_magistral.cluster.hello import machine_from
from mlx_magistral.cluster.hosts import RING
from mlx_magistral.cluster.launch import LOST
from mlx_magistral.cluster.links import Links
from mlx_magistral.cluster.pulse import SILENT_S, Pulse
from mlx_magistral.cluster.wire import Message, Wire
from mlx_magistral.errors import ClusterError
from mlx_magistral.memory.machine import Machine, free_memory_bytes, this_machine

# For what waits for replies to pass on what was lost.
_TELL_S = 0.5


class Leader:
    """All followers of a formed group; ``hosts`` are those of all ranks, in their order."""

    def __init__(
        self, links: Links, hosts: Sequence[Host], followers: dict[int, tuple[Wire, Message]]
    ) -> None:
        self.links = links
        self.names = tuple(host.name for host in hosts)
        self._addresses = [host.address for host in hosts]
        self.lost: ClusterError | None = None
        self.call: Call | None = None  # of the launcher, where there is one
        self.is_running = False  # whether somebody may wait for a reply
        self.on_lost: Callable[[ClusterError], None] = lambda error: None
        self._wires = {rank: wire for rank, (wire, _) in followers.items()}
        self._machines = {rank: hello["machine"] for rank, (_, hello) in followers.items()}
        self._free = {rank: hello["free_bytes"] for rank, (_, hello) in followers.items()}
        self._pulse = Pulse(self._wires, self._end)
        self._pulse.start()

    @property
    def size(self) -> int:
        """Ranks, this one included."""
        return len(self.names)

    @property
    def backend(self) -> str:
        """How the ranks are linked: ring or jaccl."""
        return RING if self.call is None else self.call.backend

    def machines(self) -> list[Machine]:
        """Every rank's, in their order; ranks of one machine have equal parts of it."""
        found = [
            this_machine(),
            *(machine_from(self._machines[rank]) for rank in range(1, self.size)),
        ]
        counts = [self._addresses.count(address) for address in self._addresses]
        return [
            replace(machine, limit_bytes=machine.limit_bytes // count)
            for machine, count in zip(found, counts, strict=True)
        ]

    def free_bytes(self) -> list[int | None]:
        """What programs could have on each rank's machine when it came; None where unknown."""
        return [free_memory_bytes(), *(self._free[rank] for rank in range(1, self.size))]

    def tell(self, message: Message) -> None:
        """Send a message to every follower; what cannot be sent ends this process soon."""
        for wire in self._wires.values():
            try:
                wire.send(message)
            except OSError:
                self.wait_for_loss()

    def answers(self, op: str) -> dict[int, Message]:
        """Each follower's message of this kind, in the order of ranks."""
        found: dict[int, Message] = {}
        while len(found) < len(self._wires):
            rank, message = self._pulse.inbox.get()
            if message.get("op") == op:
                found[rank] = message
        return dict(sorted(found.items()))

    def server(self) -> socket.socket | None:
        """The launcher's HTTP socket, where it has one."""
        if self.call is None or self.call.server is None:
            return None
        return socket.socket(fileno=self.call.server)

    def say_ready(self) -> None:
        """Tell the launcher that rank 0 serves."""
        self._say("ready")

    def leave(self) -> None:
        """Let the followers go, after what they compute just now."""
        self._say("leaving")
        self._pulse.stop()
        for wire in self._wires.values():
            try:
                wire.send({"op": "end"})
                while wire.read() is not None:
                    pass  # until the follower has closed, which it does once it is idle
            except (OSError, ClusterError):
                continue
            finally:
                wire.close()

    def wait_for_loss(self) -> None:
        """Something went wrong that a lost rank would explain: leave it to the pulse to end this.

        Returns where no rank is lost after all.
        """
        self._pulse.wait(SILENT_S + 3)

    def _say(self, step: str) -> None:
        if self.call is not None:
            with suppress(OSError):  # a launcher that is gone ends this process by itself
                os.write(self.call.status, f"{step}\n".encode())

    def _end(self, rank: int, what: str) -> None:
        ended = " The reply ended." if self.is_running else ""
        self.lost = ClusterError(f"{self.names[rank]} (rank {rank}) {what.rstrip('.')}.{ended}")
        self.on_lost(self.lost)
        time.sleep(_TELL_S)
        sys.stdout.flush()
        begun = "\n" if self.is_running else ""  # a line of the reply
        sys.stderr.write(f"{begun}error: {self.lost}\n")
        sys.stderr.flush()
        os._exit(LOST)
