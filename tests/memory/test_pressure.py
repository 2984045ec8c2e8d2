"""The machine's memory pressure: as macOS and Linux tell it, and what a reply does about it."""

import threading
from pathlib import Path

import pytest

from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.events import Finished, FinishReason, Limit
from mlx_magistral.memory import pressure
from mlx_magistral.memory.pressure import Pressure, PressureWatch, read_pressure
from mlx_magistral.memory.runtime import OUT_OF_MEMORY


def _psi(some: float, full: float) -> str:
    return (
        f"some avg10={some:.2f} avg60=1.00 avg300=0.50 total=123\n"
        f"full avg10={full:.2f} avg60=0.50 avg300=0.20 total=45\n"
    )


@pytest.mark.parametrize(
    ("some", "full", "level"),
    [
        (0.0, 0.0, Pressure.NORMAL),
        (19.9, 5.0, Pressure.NORMAL),
        (20.0, 5.0, Pressure.WARN),
        (90.0, 19.9, Pressure.WARN),
        (90.0, 20.0, Pressure.CRITICAL),
    ],
)
def test_linux_tells_how_long_programs_stood_still(
    tmp_path: Path, some: float, full: float, level: Pressure
) -> None:
    (tmp_path / "memory").write_text(_psi(some, full))
    assert read_pressure(tmp_path / "memory") is level


def test_a_system_that_tells_nothing_is_taken_to_be_well(tmp_path: Path) -> None:
    assert read_pressure(tmp_path / "none") is Pressure.NORMAL
    assert read_pressure() in Pressure  # whatever it is here


@pytest.mark.parametrize(
    ("number", "level"), [(1, Pressure.NORMAL), (2, Pressure.WARN), (4, Pressure.CRITICAL)]
)
def test_macos_has_levels_of_its_own(
    monkeypatch: pytest.MonkeyPatch, number: int, level: Pressure
) -> None:
    monkeypatch.setattr(pressure, "system_number", lambda name: number)
    assert read_pressure() is level


def test_it_is_read_while_somebody_watches_and_by_a_thread_of_its_own() -> None:
    readers: list[str] = []
    again = threading.Event()

    def read() -> Pressure:
        readers.append(threading.current_thread().name)
        if len(readers) > 2:
            again.set()
        return Pressure.WARN

    watch = PressureWatch(read, interval_s=0.001)
    assert watch.level is Pressure.NORMAL and not readers
    with watch, watch:
        assert watch.level is Pressure.WARN and not watch.must_end
        assert again.wait(10)
    assert set(readers[1:]) == {"memory-pressure"}


def test_only_a_critical_level_that_stays_ends_a_reply() -> None:
    with PressureWatch(lambda: Pressure.CRITICAL, patience_s=60) as patient:
        assert patient.level is Pressure.CRITICAL and not patient.must_end
    with PressureWatch(lambda: Pressure.CRITICAL, patience_s=0) as watch:
        assert watch.must_end


def _model(folder: Path, level: Pressure, *, patience_s: float = 0.0) -> Magistral:
    model = Magistral.load(folder, reuse_prefixes=True)
    model.memory.pressure = PressureWatch(lambda: level, patience_s=patience_s)
    return model


def _finished(model: Magistral) -> Finished:
    *_, last = model.stream("hello", temperature=0, max_tokens=20, on_loop="off")
    assert isinstance(last, Finished)
    return last


def test_a_reply_ends_with_what_it_has_where_memory_is_out(endless_model: Path) -> None:
    model = _model(endless_model, Pressure.CRITICAL)
    finished = _finished(model)
    assert (finished.reason, finished.limit) == (FinishReason.LENGTH, Limit.MEMORY)
    assert finished.usage.completion_tokens == 1
    assert model.memory.take_notes() == [OUT_OF_MEMORY]
    assert model.memory.take_notes() == []


def test_kept_prefixes_are_given_back_first(endless_model: Path) -> None:
    for level, is_kept in ((Pressure.NORMAL, True), (Pressure.WARN, False)):
        model = _model(endless_model, level)
        assert _finished(model).usage.completion_tokens == 20
        assert model.memory.prefixes is not None
        assert (model.memory.prefixes.nbytes > 0) is is_kept
        assert model.memory.take_notes() == []
