"""Where the machine is short of memory the server takes nobody beside, and goes on with one."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from server.collecting import Asked

from mlx_magistral import Magistral
from mlx_magistral.errors import OverloadedError
from mlx_magistral.events import FinishReason, Limit
from mlx_magistral.memory.pressure import Pressure, PressureWatch
from mlx_magistral.server.backend import Backend
from mlx_magistral.server.batching import make_backend
from mlx_magistral.server.metrics import Metrics


class Level:
    """What the machine says; a test sets it and waits for it to be known."""

    def __init__(self) -> None:
        self._now = Pressure.NORMAL
        self._reads = 0
        self._read = threading.Condition()
        self.watch = PressureWatch(self._tell, interval_s=0.001)

    def be(self, level: Pressure, *, patience_s: float = 60.0) -> None:
        self.watch._patience_s = patience_s
        with self._read:
            self._now, before = level, self._reads
            # What the next read tells is known once the one after it has begun.
            assert self._read.wait_for(lambda: self._reads >= before + 2, 60)

    def _tell(self) -> Pressure:
        with self._read:
            self._reads += 1
            self._read.notify_all()
            return self._now


@pytest.fixture
def level() -> Level:
    return Level()


@pytest.fixture
def busy(endless_model: Path, level: Level) -> Iterator[Backend]:
    model = Magistral.load(endless_model, reuse_prefixes=True)
    model.memory.pressure = level.watch
    made = make_backend(model, max_batch=4)
    yield made
    made.close(0)


def _endless(backend: Backend, text: str = "x") -> Asked:
    asked = Asked(backend, text, temperature=0, max_tokens=4000, on_loop="off")
    assert asked.has_begun.wait(60)
    return asked


def _goes_on(asked: Asked) -> None:
    asked.has_begun.clear()
    assert asked.has_begun.wait(60)


def test_nobody_is_taken_beside_those_who_run_while_memory_is_short(
    busy: Backend, level: Level
) -> None:
    running = _endless(busy)
    level.be(Pressure.WARN)
    with pytest.raises(OverloadedError, match="short of memory. Ask again in 5 s"):
        _endless(busy)
    level.be(Pressure.NORMAL)
    other = _endless(busy)
    level.be(Pressure.WARN)
    for each in (running, other):  # who runs goes on
        _goes_on(each)
        each.ticket.cancel()
        assert each.reply.finish_reason is FinishReason.INTERRUPTED
    while busy.stats().running:
        pass  # its place is given up just after it was told of its end
    alone = _endless(busy)  # with nobody beside
    alone.ticket.cancel()
    alone.wait()


def test_at_the_critical_level_the_oldest_reply_goes_on_alone_and_ends_if_it_stays(
    busy: Backend, level: Level, caplog: pytest.LogCaptureFixture
) -> None:
    replies = [_endless(busy, text) for text in ("a", "b", "c")]
    level.be(Pressure.CRITICAL)
    for each in replies[1:]:
        assert (each.reply.finish_reason, each.reply.limit) == (FinishReason.LENGTH, Limit.MEMORY)
        assert each.reply.usage.completion_tokens > 0
    _goes_on(replies[0])
    level.be(Pressure.CRITICAL, patience_s=0.0)
    assert replies[0].reply.limit is Limit.MEMORY
    assert "The system is out of memory, so the reply ended with what it had." in caplog.text


def test_metrics_show_the_level(busy: Backend, level: Level) -> None:
    for pressure in (Pressure.WARN, Pressure.NORMAL):
        level.be(pressure)
        line = f"magistral_memory_pressure {float(pressure)}"
        assert line in Metrics(busy).text().decode()
