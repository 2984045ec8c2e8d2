"""Wires and pulses: messages come whole, and who is silent or gone is lost."""

import socket
import threading
from queue import SimpleQueue

import pytest

from mlx_magistral.cluster import pulse as pulses
from mlx_magistral.cluster import wire as wires
from mlx_magistral.cluster.hello import first_message
from mlx_magistral.cluster.pulse import Pulse
from mlx_magistral.cluster.wire import Wire
from mlx_magistral.errors import ClusterError


def pair() -> tuple[Wire, socket.socket]:
    one, other = socket.socketpair()
    # What a wire sets for TCP a local pair does not have.
    listener = socket.create_server(("127.0.0.1", 0))
    other.close(), one.close()
    other = socket.create_connection(listener.getsockname())
    one, _ = listener.accept()
    listener.close()
    return Wire(one), other


def test_messages_come_whole_however_they_are_cut() -> None:
    wire, other = pair()
    sender = Wire(other)
    sender.send({"op": "a", "text": "é" * 50_000})
    sender.send({"op": "b"})
    found = []
    while len(found) < 2:
        found += wire.read() or []
    assert [message["op"] for message in found] == ["a", "b"]
    sender.close()
    assert wire.read() is None
    wire.close()


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\2{]", b"\0\0\0\1[]"[:5]])
def test_what_is_no_message_is_refused(sent: bytes) -> None:
    wire, other = pair()
    other.sendall(sent)
    with pytest.raises(ClusterError):
        wire.read()
    other.close()
    wire.close()


@pytest.mark.parametrize(
    ("act", "what"), [("close", "is gone"), ("error", "has no model"), ("silence", "not answered")]
)
def test_who_is_gone_silent_or_failed_is_lost(
    act: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulses, "SILENT_S", 0.2)
    monkeypatch.setattr(pulses, "BEAT_S", 0.05)
    wire, other = pair()
    lost: SimpleQueue[tuple[int, str]] = SimpleQueue()
    pulse = Pulse({3: wire}, lambda rank, why: lost.put((rank, why)))
    pulse.start()
    if act == "close":
        other.close()
    elif act == "error":
        Wire(other).send({"op": "error", "text": "has no model"})
    rank, why = lost.get(timeout=20)
    assert rank == 3 and what in why
    other.close()
    wire.close()


def test_the_leader_may_take_longer_than_a_write_to_say_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wires, "_WRITE_S", 0.05)
    wire, other = pair()
    leader = Wire(other)
    late = threading.Timer(0.3, leader.send, [{"op": "join"}])
    late.start()
    assert first_message(wire, 20.0) == {"op": "join"}
    assert first_message(wire, 0.1) == {}
    leader.close()
    assert first_message(wire, 20.0) == {}
    wire.close()
    late.join()
