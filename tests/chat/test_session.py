"""Sessions as files: what a crash, a second process and a damaged line cost."""

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlx_magistral.chat.conversation import Conversation
from mlx_magistral.chat.export import export_session
from mlx_magistral.chat.session import Session
from mlx_magistral.chat.sessions import SessionStore
from mlx_magistral.errors import SessionError, UsageError
from mlx_magistral.events import FinishReason, Reply, Timings, ToolCall, Usage


def reply(content: str | None, reasoning: str | None = "hm", **more: object) -> Reply:
    values = {"finish_reason": FinishReason.STOP, **more}
    usage, timings = Usage(10, 5, 2, 3), Timings(0.1, 0.2, 50.0, 20.0, 1000)
    return Reply("nano", reasoning, content, usage=usage, timings=timings, **values)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def closed_sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what a test leaves open, as the end of the program would."""
    made: list[Session] = []
    plain = Session.__init__

    def remember(session: Session, *arguments: Any) -> None:
        plain(session, *arguments)
        made.append(session)

    monkeypatch.setattr(Session, "__init__", remember)
    yield
    for session in made:
        session.close()


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return SessionStore(tmp_path / "sessions")


def begun(store: SessionStore, question: str = "What is 37 + 48?") -> Conversation:
    conversation = Conversation(store)
    conversation.ask(question, "nano")
    conversation.add_reply(reply("85"))
    return conversation


def test_what_was_said_comes_back_after_a_crash(store: SessionStore) -> None:
    def talk() -> None:
        begun(store)
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=talk)
    process.start()
    process.join()
    resumed, notes = Conversation.resume(store, store.latest() or "")
    assert notes == []
    assert resumed.content.messages == [
        {"role": "user", "content": "What is 37 + 48?"},
        {"role": "assistant", "content": "85", "reasoning": "hm"},
    ]
    assert resumed.content.model == "nano"


def test_a_torn_last_line_is_dropped_with_a_note_and_overwritten(store: SessionStore) -> None:
    begun(store).close()
    (path,) = store.folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    resumed, notes = Conversation.resume(store, path.stem)
    assert notes == [f"The last line of session {path.stem} was cut off and is left out."]
    assert [each["role"] for each in resumed.content.messages] == ["user"]
    resumed.add_reply(reply("eighty-five"))
    resumed.close()
    assert store.read(path.stem).messages[-1]["content"] == "eighty-five"
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_a_damaged_line_costs_that_line(store: SessionStore) -> None:
    begun(store).close()
    (path,) = store.folder.iterdir()
    path.write_bytes(path.read_bytes() + b'{"record": 7}\nnot json\n')
    resumed, notes = Conversation.resume(store, path.stem)
    assert len(notes) == 2 and "Line 4" in notes[0]
    assert len(resumed.content.messages) == 2


def test_a_session_is_open_once_and_free_after_close(store: SessionStore) -> None:
    first = begun(store)
    assert first.id is not None
    with pytest.raises(SessionError, match="open in another process"):
        Conversation.resume(store, first.id)
    with pytest.raises(SessionError, match="open in another process"):
        store.delete(first.id)
    first.close()
    Conversation.resume(store, first.id)[0].close()
    store.delete(first.id)
    assert store.latest() is None


def test_names_are_the_day_and_the_first_words(store: SessionStore) -> None:
    names = [begun(store, "Où est l'été ? Là, là-bas").id or "" for _ in range(2)]
    assert names[0].endswith("-ou-est-l-ete-la")
    assert names[1] == f"{names[0]}-2"
    assert begun(store, "?!").id
    assert Conversation(store).id is None


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "x" * 81])
def test_a_name_never_leaves_the_folder(store: SessionStore, name: str) -> None:
    with pytest.raises(UsageError, match="A session's name"):
        store.resume(name)


def test_search_and_find(store: SessionStore) -> None:
    begun(store, "Write about rope").close()
    begun(store, "Write about attention").close()
    assert [each.title for each in store.search("ROPE write")] == ["Write about rope"]
    assert len(list(store.search())) == 2
    assert store.find("rope").endswith("write-about-rope")
    with pytest.raises(SessionError, match="2 sessions have 'write'"):
        store.find("write")
    with pytest.raises(SessionError, match="no session 'x'"):
        store.find("x")


def test_a_stopped_thought_is_on_file_and_not_in_the_prompt(store: SessionStore) -> None:
    conversation = begun(store)
    conversation.ask("And now?", "nano")
    conversation.add_reply(reply(None, "let me", finish_reason=FinishReason.INTERRUPTED))
    conversation.ask("Again", "nano")
    shown = conversation.prompt(keep_reasoning=False)
    assert [each["content"] for each in shown] == ["What is 37 + 48?", "85", "Again"]
    assert not any("reasoning" in each for each in shown)
    assert conversation.prompt(keep_reasoning=True)[1]["reasoning"] == "hm"
    assert len(conversation.content.messages) == 5


@pytest.mark.parametrize("is_logged", [True, False])
def test_dropped_turns_stay_dropped(store: SessionStore, is_logged: bool) -> None:
    conversation = Conversation(store if is_logged else None)
    conversation.set_system("Be brief.")
    conversation.ask("a", "nano")
    conversation.add_reply(reply(None, tool_calls=[ToolCall("abcdefghi", "f", "{}")]))
    conversation.add_results([{"role": "tool", "tool_call_id": "abcdefghi", "content": "7"}])
    conversation.add_reply(reply("seven"))
    conversation.ask("b", "nano")
    assert conversation.drop_last_turn() == "b"
    assert conversation.drop_last_turn() == "a"
    assert conversation.drop_last_turn() is None
    conversation.ask("c", "nano")
    if is_logged:
        conversation.close()
        conversation, _ = Conversation.resume(store, conversation.id or "")
    assert conversation.prompt(keep_reasoning=False) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "c"},
    ]
    assert is_logged or not store.folder.exists()


@pytest.mark.parametrize("suffix", ["md", "html", "json"])
def test_export_has_questions_thoughts_calls_and_answers(
    store: SessionStore, tmp_path: Path, suffix: str
) -> None:
    conversation = Conversation(store)
    conversation.ask("What is <b>?", "nano")
    conversation.add_reply(reply(None, tool_calls=[ToolCall("abcdefghi", "look", '{"x": 1}')]))
    conversation.add_results([{"role": "tool", "tool_call_id": "abcdefghi", "content": "found"}])
    conversation.add_reply(reply("It is bold.", "thought"))
    path = tmp_path / f"out.{suffix}"
    export_session(conversation.content, path)
    text = path.read_text()
    for part in ("look", "found", "thought", "It is bold."):
        assert part in text
    assert ("What is &lt;b&gt;?" if suffix == "html" else "What is <b>?") in text
    with pytest.raises(UsageError, match=r"\.md, \.html or \.json"):
        export_session(conversation.content, tmp_path / "out.txt")


def test_another_file_in_the_folder_is_no_session(store: SessionStore) -> None:
    begun(store).close()
    (store.folder / "stray.jsonl").write_text('{"a": 1}\n')
    assert len(list(store.search())) == 1
    with pytest.raises(SessionError, match="is not a session"):
        Session.resume(store.folder / "stray.jsonl")


def test_a_folder_that_cannot_be_written_is_one_note_and_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("a file")
    conversation = begun(SessionStore(tmp_path / "sessions"))
    (note,) = conversation.take_notes()
    assert "cannot be written" in note and conversation.take_notes() == []
    assert [each["role"] for each in conversation.content.messages] == ["user", "assistant"]
    assert conversation.id is None
