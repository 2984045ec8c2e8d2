"""A server whose ring is broken: what clients are told meanwhile, in the words of their API."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from mlx_magistral.cluster import launch, serving
from mlx_magistral.cluster.hosts import local_hosts
from mlx_magistral.cluster.serving import Refusing
from mlx_magistral.errors import ClusterError, GenerationError, MagistralError
from mlx_magistral.events import ContentDelta, Event
from mlx_magistral.server.api_errors import from_error
from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.server.led_backend import LedBackend
from mlx_magistral.server.uvicorn_server import bind

LOST = ClusterError("mac2 (rank 1) is gone.")


@pytest.fixture
def address() -> Iterator[str]:
    listener = bind("127.0.0.1", 0)

    def body(path: str, text: str) -> bytes:
        return json.dumps({"path": path, "text": text}).encode()

    with listener, Refusing(listener, body):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("data", [None, b"x" * 100_000])
def test_whoever_asks_while_the_ring_is_formed_gets_503(address: str, data: bytes | None) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{address}/v1/messages", data, timeout=20)
    assert caught.value.code == 503 and caught.value.headers["retry-after"] == "5"
    assert json.loads(caught.value.read())["path"] == "/v1/messages"


class Fake:
    """A backend that keeps callbacks, and a leader that never waits."""

    def __init__(self) -> None:
        self.callbacks: list[Any] = []
        self.waited = threading.Event()

    def submit(self, request: GenerationRequest, on_event: Any) -> Any:
        self.callbacks.append(on_event)

    def wait_for_loss(self) -> None:
        self.waited.set()


def test_a_lost_machine_ends_every_reply_once_and_refuses_others() -> None:
    fake, heard = Fake(), list[tuple[int, Event | MagistralError]]()
    led: Any = LedBackend(fake, fake)  # type: ignore[arg-type]
    for index in range(2):
        led.submit(GenerationRequest(), lambda event, index=index: heard.append((index, event)))
    fake.callbacks[0](ContentDelta("a"))
    led.lose(LOST)
    fake.callbacks[0](ContentDelta("b"))
    fake.callbacks[1](GenerationError("late"))
    assert heard == [(0, ContentDelta("a")), (0, LOST), (1, LOST)]
    with pytest.raises(ClusterError):
        led.submit(GenerationRequest(), heard.append)
    refusal = from_error(LOST)
    assert (refusal.status, refusal.code, refusal.message) == (503, "machine_lost", str(LOST))


def test_what_mlx_raises_waits_for_the_name_of_the_machine() -> None:
    fake, heard = Fake(), list[Any]()
    led: Any = LedBackend(fake, fake)  # type: ignore[arg-type]
    led.submit(GenerationRequest(), heard.append)
    failure = GenerationError("The reply failed.")
    failure.__cause__ = RuntimeError("[ring] connection to a peer was lost")
    fake.callbacks[0](failure)
    assert fake.waited.is_set() and heard == [failure]


class FakeRanks:
    """Rings in a row: each is ready or not, and ends with a code."""

    rings: ClassVar[list[tuple[bool, int]]] = []

    def __init__(self, *details: object) -> None:
        self.is_ready, self._code = self.rings.pop(0)

    def __enter__(self) -> "FakeRanks":
        return self

    def __exit__(self, *details: object) -> None:
        pass

    def poll(self) -> int:
        return self._code


@pytest.mark.parametrize(
    ("rings", "code"),
    [
        ([(False, 1)], 1),  # never served: it says why and ends
        ([(True, launch.LOST), (False, 1), (False, launch.LOST), (True, 3)], 3),
    ],
)
def test_a_ring_that_cannot_be_formed_again_is_tried_until_it_holds(
    monkeypatch: pytest.MonkeyPatch, rings: list[tuple[bool, int]], code: int
) -> None:
    monkeypatch.setattr(FakeRanks, "rings", list(rings))
    monkeypatch.setattr(serving, "Ranks", FakeRanks)
    monkeypatch.setattr(serving, "_FIRST_WAIT_S", 0.01)
    with bind("127.0.0.1", 0) as listener:
        found = serving.serve(local_hosts(2), [], listener, lambda path, text: b"{}")
    assert found == code and FakeRanks.rings == []
