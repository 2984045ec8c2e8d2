"""A prompt goes to disk after its reply has ended, and whoever asks next does not wait for it."""

import threading
from pathlib import Path
from typing import Any

import pytest

from mlx_magistral import Magistral
from mlx_magistral.chat.worker import ModelThread
from mlx_magistral.events import Finished
from mlx_magistral.memory.prefixes import disk, layer_file

QUESTION = "What is 37 + 48? " + "Think well. " * 40
OPTIONS: dict[str, Any] = {"temperature": 0, "max_tokens": 3}


@pytest.fixture
def model() -> Magistral:
    return Magistral.load("nano", reuse_prefixes=True)


def written(folder: Path) -> int:
    return len(list(folder.glob("*.json")))


def drafts(folder: Path) -> list[Path]:
    return list(folder.glob("draft-*"))


def test_nothing_is_on_disk_when_the_reply_says_that_it_is_finished(
    model: Magistral, own_prefixes: Path
) -> None:
    stream = model.stream(QUESTION, **OPTIONS)
    events = []
    for event in stream:
        events.append(event)
        assert written(own_prefixes) == 0
    assert isinstance(events[-1], Finished)
    assert written(own_prefixes) == 2  # the pinned head, and the prompt


def test_a_cancelled_reply_is_written_too(model: Magistral, own_prefixes: Path) -> None:
    stream = model.stream(QUESTION, temperature=0)
    next(stream)
    stream.cancel()
    *_, last = stream
    assert isinstance(last, Finished) and last.reason == "interrupted"
    assert written(own_prefixes) == 2


def test_a_cancel_after_the_end_puts_the_writing_off(
    model: Magistral, own_prefixes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = model.stream(QUESTION, **OPTIONS)
    write, begun = layer_file._write, []

    def cancel_at_the_third(*arguments: Any) -> int:
        begun.append(arguments)
        if len(begun) == 3:
            stream.cancel()
        return write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(layer_file, "_write", cancel_at_the_third)
        assert isinstance([*stream][-1], Finished)
    assert len(begun) == 3
    assert written(own_prefixes) == 0 and drafts(own_prefixes) == []
    model.generate("And 2 + 2? " * 30, **OPTIONS)
    assert written(own_prefixes) == 3  # what was put off, too


def test_a_chat_goes_on_while_the_disk_is_slow_and_leaves_with_everything_written(
    own_prefixes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_writing, may_go_on = threading.Event(), threading.Event()
    write = disk.write_layers

    def slow(*arguments: Any) -> int | None:
        is_writing.set()
        may_go_on.wait(60)
        return write(*arguments)

    monkeypatch.setattr(disk, "write_layers", slow)
    thread = ModelThread()
    thread.use(lambda: Magistral.load("nano", reuse_prefixes=True))
    run = thread.start(messages=QUESTION, **OPTIONS)
    while run.next() is not None:
        pass
    assert is_writing.wait(60) and written(own_prefixes) == 0
    following = thread.start(messages=QUESTION + "Now.", **OPTIONS)
    may_go_on.set()
    while following.next() is not None:
        pass
    thread.finish()
    assert written(own_prefixes) >= 2 and drafts(own_prefixes) == []
