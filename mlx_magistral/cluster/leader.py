"""Leader: rank 0's side of the wires. It tells followers what comes, and hears that they are there.

What is lost on the way ends this process, since MLX can neither be interrupted in a collective nor
form a group twice: ``on_lost`` first tells whoever waits for a reply.
"""

import os
import sys
from collections.abc import Callable, Sequence

from mlx_magistral.cluster.hello import machine_from
from mlx_magistral.cluster.links import Links
from mlx_magistral.cluster.pulse import SILENT_S, Pulse
from mlx_magistral.cluster.wire import Message, Wire
from mlx_magistral.errors import ClusterError
from mlx_magistral.memory.machine import Machine, this_machine

# How a process ends that has lost its ring; a launcher may form another.
LOST = 75


class Leader:
    """All followers of a formed group; ``names`` are those of all ranks, for people."""

    def __init__(
        self, links: Links, names: Sequence[str], followers: dict[int, tuple[Wire, Message]]
    ) -> None:
        self.links = links
        self.names = tuple(names)
        self.lost: ClusterError | None = None
        self.on_lost: Callable[[ClusterError], None] = lambda error: None
        self._wires = {rank: wire for rank, (wire, _) in followers.items()}
        self._machines = {rank: hello["machine"] for rank, (_, hello) in followers.items()}
        self._pulse = Pulse(self._wires, self._end)
        self._pulse.start()

    @property
    def size(self) -> int:
        """Ranks, this one included."""
        return len(self.names)

    def machines(self) -> list[Machine]:
        """Every rank's, in their order."""
        return [this_machine(), *(machine_from(self._machines[r]) for r in sorted(self._machines))]

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

    def leave(self) -> None:
        """Let the followers go, after what they compute just now."""
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

    def _end(self, rank: int, what: str) -> None:
        self.lost = ClusterError(f"{self.names[rank]} (rank {rank}) {what}. The reply ended.")
        self.on_lost(self.lost)
        sys.stdout.flush()
        sys.stderr.write(f"\nerror: {self.lost}\n")
        sys.stderr.flush()
        os._exit(LOST)
