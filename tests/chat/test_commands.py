"""Commands and the loop, without a terminal and without a model: replies are scripted."""

import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlx_magistral.chat.chat import Chat
from mlx_magistral.chat.commands import COMMANDS
from mlx_magistral.chat.conversation import Conversation
from mlx_magistral.chat.repl import PlainReader, is_unfinished, run_chat, without_quotes
from mlx_magistral.chat.screen import Screen
from mlx_magistral.chat.sessions import SessionStore
from mlx_magistral.chat.settings import ChatSettings
from mlx_magistral.chat.status import status_line
from mlx_magistral.chat.worker import ModelThread
from mlx_magistral.errors import UsageError
from mlx_magistral.events import (
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    Timings,
    ToolCall,
    ToolCallDelta,
    Usage,
)


class ScriptedStream:
    """Thinks "hm" and answers with the number of messages it was shown, or calls a tool."""

    is_thinking = False

    def __init__(self, messages: list[Any]) -> None:
        self._messages = messages

    def __iter__(self) -> Iterator[Any]:
        usage, timings = Usage(100, 20, 5), Timings(0.0, 0.1, 10.0, 30.0, 10)
        yield ReasoningDelta("hm")
        if self._messages[-1]["content"].startswith("call "):
            yield ToolCallDelta(0, "id0000000", self._messages[-1]["content"][5:], "{}")
            yield Finished(FinishReason.TOOL_CALLS, usage, timings)
            return
        yield ContentDelta(f"saw {len(self._messages)}: {self._messages[-1]['content']}")
        yield Finished(FinishReason.STOP, usage, timings)

    def cancel(self) -> None: ...


class ScriptedModel:
    name = "scripted"
    context_tokens = 1000
    memory = SimpleNamespace(note=None, take_notes=list)

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def stream(self, messages: list[Any], **options: Any) -> ScriptedStream:
        self.asked.append({"messages": messages, **options})
        if "boom" in messages[-1]["content"]:
            raise UsageError("It went wrong.")
        return ScriptedStream(messages)


class Tools:
    def __init__(self, texts: tuple[str, ...]) -> None:
        if any("=" not in each for each in texts):
            raise UsageError("--tool must be NAME=COMMAND.")
        self.tools = {each.partition("=")[0]: each for each in texts}
        self.schemas: list[dict[str, Any]] = []

    def run(self, call: ToolCall) -> str:
        return f"{call.name} gave 85"


class Talk:
    """What a chat answers to lines on stdin."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model = ScriptedModel()
        self.store = SessionStore(tmp_path / "sessions")
        self.settings = ChatSettings("scripted", lambda name: self.model, Tools)
        self.chat: Chat | None = None
        self._monkeypatch = monkeypatch

    def __call__(self, *lines: str) -> Chat:
        self._monkeypatch.setattr(sys, "stdin", StringIO("".join(f"{each}\n" for each in lines)))
        conversation = Conversation(self.store if self.settings.is_logged else None)
        chat = Chat(self.settings, Screen(), ModelThread(), conversation, self.store)
        run_chat(chat, PlainReader())
        return chat


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talk:
    return Talk(tmp_path, monkeypatch)


def test_each_line_is_a_turn(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk("a", "", "b\\", "c", '"""d', 'e"""')
    assert capsys.readouterr().out == "saw 1: a\nsaw 3: b\nc\nsaw 5: d\ne\n"


@pytest.mark.parametrize(
    ("lines", "last_question", "shown"),
    [
        (["a", "b", "/undo", "c"], "c", 3),
        (["a", "b", "/retry"], "b", 3),
        (["a", "/clear", "b"], "b", 1),
        (["/system Be brief.", "a"], "a", 2),
        (["a", "/system off", "b"], "b", 3),
        (["a", "boom", "b"], "b", 3),
        (["/usr/bin is what?"], "/usr/bin is what?", 1),
        (["a", "/load a"], "a", 1),
    ],
)
def test_what_the_model_is_shown(
    talk: Talk, lines: list[str], last_question: str, shown: int
) -> None:
    talk(*lines)
    assert talk.model.asked[-1]["messages"][-1]["content"] == last_question
    assert len(talk.model.asked[-1]["messages"]) == shown


def test_options_go_to_the_reply_until_they_are_off(talk: Talk) -> None:
    talk("/seed 7", "/temp 0.5", "/budget 9", "a", "/seed off", "/temp -1", "b")
    first, second = talk.model.asked
    assert (first["seed"], first["temperature"], first["think_budget"]) == (7, 0.5, 9)
    assert "seed" not in second and second["temperature"] == 0.5


def test_calls_are_run_also_of_tools_that_are_none_and_without_any_it_is_said(
    talk: Talk, capsys: pytest.CaptureFixture[str]
) -> None:
    talk("call other")
    assert "The model called other, and has no tool here: /tool NAME=COMMAND." in (
        capsys.readouterr().err
    )
    talk("/tool add=cat", "call other", "/tool")
    shown = capsys.readouterr()
    assert shown.out == "saw 3: other gave 85\n" and shown.err.count("Tools: add\n") == 2


def test_a_file_goes_with_one_message(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    (tmp_path / "bad.bin").write_bytes(b"\xff")
    talk(f"/file {tmp_path}/bad.bin", f"/file {tmp_path}/note.txt", "a", "b")
    questions = [each["messages"][-1]["content"] for each in talk.model.asked]
    assert questions == ["a\n\nnote.txt:\nhello", "b"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/undo", "There is no turn to take back."),
        ("/retry", "There is no question to ask again."),
        ("/edit", "There is no question to edit."),
        ("/copy", "There is no answer to copy yet."),
        ("/expand", "There is no thinking to show yet."),
        ("/stats", "There is no reply yet."),
        ("/seed x", "'x' is no number."),
        ("/budget -1", "It must be 0 or more"),
        ("/think loud", "/think takes full, short, hide"),
        ("/tool x", "--tool must be NAME=COMMAND."),
        ("/file nowhere", "nowhere cannot be read"),
        ("/load nowhere", "There is no session 'nowhere'."),
        ("/load", "/load takes a session's name"),
        ("/sessions", "There is no session yet."),
        ("/save x.txt", "writes .md, .html or .json"),
        ("/model ./nowhere", "There is no folder ./nowhere"),
        ("/byee", "Did you mean /bye?"),
        ("/zzzzz", "/help lists them."),
    ],
)
def test_a_command_that_cannot_be_done_is_one_line(
    talk: Talk, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    talk(line)
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and said in error
    assert not talk.model.asked


def test_every_command_is_in_the_help(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk("/help")
    shown = capsys.readouterr().out
    assert all(f"/{name}" in shown for name in COMMANDS)


def test_status_line_fits_any_width(talk: Talk) -> None:
    chat = talk("a")
    assert status_line(chat, 80) == "115 of 1,000 tokens · 30.0 tok/s · scripted · think full"
    assert status_line(chat, 40) == "115 of 1,000 tokens · 30.0 tok/s"
    assert all(len(status_line(chat, width)) <= width for width in range(1, 80))


def test_quotes_and_backslashes() -> None:
    assert without_quotes('"""\na\n"""') == "a"
    assert without_quotes('say """x"""') == 'say """x"""'
    assert is_unfinished('"""a') and is_unfinished("a\\") and not is_unfinished('"""a"""')


@pytest.mark.parametrize("word", ["/bye", "/exit", "/quit", "/EXIT", "exit", "quit"])
def test_every_usual_word_leaves(talk: Talk, word: str) -> None:
    talk(word, "hello")
    assert not talk.model.asked


def test_a_message_about_leaving_is_a_message(talk: Talk) -> None:
    talk("exit the loop how?")
    assert len(talk.model.asked) == 1
