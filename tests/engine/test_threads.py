"""A reply's events may be taken by any thread, and none leaves anything behind."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlx_magistral import Magistral
from mlx_magistral.events import Event, Finished

QUESTION = "What is 37 + 48?"


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


def in_a_thread(work: Any) -> Any:
    """What some work gives in a thread of its own, which ends with it."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join(60)
    return found[0]


def said(events: list[Event]) -> list[Event]:
    """All but the end, which has timings."""
    assert isinstance(events[-1], Finished)
    return events[:-1]


@pytest.mark.parametrize("options", [{"temperature": 0}, {"seed": 3}, {"seed": 3, "speculate": 4}])
def test_each_event_in_another_thread(nano: Magistral, options: dict[str, Any]) -> None:
    """As a web framework iterates over a plain generator."""
    expected = said(list(nano.stream(QUESTION, **options)))
    stream = nano.stream(QUESTION, **options)
    events: list[Event] = []
    while (event := in_a_thread(lambda: next(stream, None))) is not None:
        events.append(event)
    assert said(events) == expected


def test_begun_here_and_finished_there(nano: Magistral) -> None:
    expected = said(list(nano.stream(QUESTION, temperature=0)))
    stream = nano.stream(QUESTION, temperature=0)
    first = [next(stream) for _ in range(3)]
    assert said([*first, *in_a_thread(lambda: list(stream))]) == expected


def test_several_replies_at_once_from_several_threads(nano: Magistral) -> None:
    expected = [said(list(nano.stream(QUESTION, seed=seed))) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: list(nano.stream(QUESTION, seed=seed)), range(4)))
    assert [said(events) for events in found] == expected


def test_a_model_loaded_in_a_thread_that_has_ended() -> None:
    loaded: Magistral = in_a_thread(lambda: Magistral.load("nano"))
    assert loaded.generate(QUESTION, temperature=0).content == "The sum is $\\boxed{85}$."


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux does")
def test_no_thread_leaves_a_native_one_behind(nano: Magistral) -> None:
    def reply() -> str | None:
        return nano.generate(QUESTION, temperature=0, max_tokens=3).reasoning

    in_a_thread(reply)
    before = len(os.listdir("/proc/self/task"))
    for _ in range(8):
        in_a_thread(reply)
    # One that has ended may be listed for a moment.
    assert len(os.listdir("/proc/self/task")) <= before + 2


def test_a_model_that_was_unloaded_answers_as_before() -> None:
    loaded = Magistral.load("nano")
    expected = loaded.generate(QUESTION, temperature=0).content
    loaded.unload()
    assert not loaded.is_loaded
    assert loaded.generate(QUESTION, temperature=0).content == expected
    assert loaded.is_loaded
