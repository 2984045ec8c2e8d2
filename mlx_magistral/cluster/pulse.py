"""Pulse: a thread beside the computation that beats on every wire and listens for the others.

A collective waits for ever where a rank has stopped, and MLX cannot be interrupted in it; but it
lets other threads run. So each rank sends a beat a second over a plain socket, whatever it
computes, and whoever is silent for SILENT_S seconds, or closes, is lost.
"""

import select
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue

from mlx_magistral.cluster.wire import Message, Wire
from mlx_magistral.errors import ClusterError

BEAT_S = 1.0
SILENT_S = 5.0

# The key of the wire, and what is wrong with it.
OnLost = Callable[[int, str], None]


class Pulse:
    """Reads all ``wires`` from ``start`` to ``stop``; what is no beat goes to ``inbox``.

    ``on_lost`` is called once, from the thread.
    """

    def __init__(self, wires: Mapping[int, Wire], on_lost: OnLost) -> None:
        self._wires = dict(wires)
        self._on_lost = on_lost
        self.inbox: SimpleQueue[tuple[int, Message]] = SimpleQueue()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cluster-pulse", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Whoever closes from now on is not lost."""
        self._is_stopping.set()

    def wait(self, seconds: float) -> None:
        """Wait for the thread to end, which it does once somebody is lost."""
        self._thread.join(seconds)

    def _run(self) -> None:
        seen = dict.fromkeys(self._wires, time.monotonic())
        due = time.monotonic()
        by_file = {wire.fileno(): key for key, wire in self._wires.items()}
        while not self._is_stopping.is_set():
            ready, _, _ = select.select(list(by_file), [], [], BEAT_S / 2)
            lost = [self._listen(by_file[file]) for file in ready]
            now = time.monotonic()
            seen |= dict.fromkeys((by_file[file] for file in ready), now)
            if now >= due:
                # After listening: who has said why it ends cannot be written to.
                lost += self._beat()
                due = now + BEAT_S
            for key, when in seen.items():
                if now - when > SILENT_S:
                    lost.append((key, f"has not answered for {SILENT_S:.0f} s"))
            if found := next(filter(None, lost), None):
                if not self._is_stopping.is_set():
                    self._on_lost(*found)
                return

    def _beat(self) -> list[tuple[int, str] | None]:
        lost: list[tuple[int, str] | None] = []
        for key, wire in self._wires.items():
            try:
                wire.send({"op": "beat"})
            except OSError as error:
                lost.append(self._listen(key) or (key, f"cannot be reached ({error})"))
        return lost

    def _listen(self, key: int) -> tuple[int, str] | None:
        try:
            messages = self._wires[key].read()
        except (OSError, ClusterError) as error:
            return key, f"is gone ({error})"
        if messages is None:
            return key, "is gone: it ended, or its connection did"
        for message in messages:
            if message.get("op") == "error":
                return key, str(message.get("text"))
            if message.get("op") != "beat":
                self.inbox.put((key, message))
        return None
