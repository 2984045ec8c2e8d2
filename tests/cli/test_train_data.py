"""Training data from what our other commands keep: sessions, batches and evaluations."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hub_server import HubServer

from mlx_magistral.chat.conversation import Conversation
from mlx_magistral.chat.sessions import SessionStore
from mlx_magistral.cli.main import main
from mlx_magistral.cli.train_data import (
    batch_records,
    data_records,
    eval_records,
    session_records,
)
from mlx_magistral.errors import TrainingError, UsageError
from mlx_magistral.events import FinishReason, Reply, Timings, Usage


def said(content: str | None, reasoning: str) -> Reply:
    usage, timings = Usage(10, 5, 2, 3), Timings(0.1, 0.2, 50.0, 20.0, 1000)
    return Reply("nano", reasoning, content, FinishReason.STOP, usage=usage, timings=timings)


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_MAGISTRAL_DATA", str(tmp_path / "data"))
    for name, question in (("sums", "What is 2+3?"), ("primes", "Is 7 a prime?")):
        conversation = Conversation(SessionStore(), name=name)
        conversation.set_system("Be brief.")
        conversation.ask(question, "nano")
        conversation.add_reply(said("Yes." if name == "primes" else "5", "hm"))
        conversation.ask("And then?", "nano")  # nobody answered
        conversation.close()


@pytest.mark.parametrize("words", ["sums", "2+3"])
def test_a_session_gives_its_answered_turns_with_their_thoughts(sessions: None, words: str) -> None:
    (record,) = session_records([words])
    assert record.place == "session sums"
    assert record.content["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 2+3?"},
        {"role": "assistant", "content": "5", "reasoning": "hm"},
    ]


def test_words_that_no_session_holds_are_named(sessions: None) -> None:
    with pytest.raises(TrainingError, match="No session holds 'elephants'"):
        session_records(["elephants"])


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_batch_gives_what_was_asked_and_answered(tmp_path: Path) -> None:
    requests = write(
        tmp_path / "requests.jsonl",
        [
            {"custom_id": "a", "messages": [{"role": "user", "content": "What is 2 + 3?"}]},
            {"custom_id": "b", "messages": [{"role": "user", "content": "What is 4 + 3?"}]},
        ],
    )
    answers = tmp_path / "answers.jsonl"
    arguments = ["batch", str(requests), "-o", str(answers), "-m", "nano", "-q"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    # A reply that was cut off is not one to learn from.
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    cut = next(line for line in lines if line["custom_id"] == "b")
    cut["response"]["body"]["choices"][0]["finish_reason"] = "length"
    (record,) = batch_records(requests, write(answers, lines))
    with pytest.raises(TrainingError, match="no finished answer"):
        batch_records(requests, write(tmp_path / "cut.jsonl", [cut]))
    question, answer = record.content["messages"]
    assert question["content"] == "What is 2 + 3?"
    assert answer["reasoning"]
    assert "5" in answer["content"]


def test_an_evaluation_gives_what_was_right(tmp_path: Path) -> None:
    problems = write(
        tmp_path / "sums.jsonl",
        [
            {"problem": "What is 37 + 48?", "answer": "85"},
            {"problem": "What is 12 + 5?", "answer": "99"},
        ],
    )
    run = tmp_path / "run"
    arguments = ["eval", "run", str(problems), "-m", "nano", "-o", str(run), "-n", "1", "-q", "-y"]
    arguments += ["--prompt", "{problem}", "--temperature", "0", "--max-tokens", "300"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    (record,) = eval_records(run)
    question, answer = record.content["messages"]
    assert question["content"] == "What is 37 + 48?"
    assert "85" in answer["content"]
    assert answer["reasoning"].startswith("37+48")
    samples = run / "samples.jsonl"
    samples.write_text(samples.read_text().replace('"right"', '"wrong"'))
    with pytest.raises(TrainingError, match="no reply was judged right"):
        eval_records(run)


def test_a_table_is_read_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,completion\n2+2?,4\n")
    train, _ = data_records([str(path)])
    assert [dict(each.content) for each in train] == [{"prompt": "2+2?", "completion": "4"}]


def test_what_is_nothing_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no file or folder chats.json"):
        data_records(["chats.json"])


def test_a_data_set_of_the_hub_is_fetched_and_named_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train-0.jsonl", [{"prompt": "2+2?", "completion": "4"}])
    write(folder / "train-1.jsonl", [{"prompt": "3+3?", "completion": "6"}])
    write(folder / "test.jsonl", [{"prompt": "9+9?", "completion": "18"}])
    with HubServer({"someone/sums": folder}) as hub:

        def dry_run(name: str) -> "subprocess.CompletedProcess[str]":
            command = [sys.executable, "-m", "mlx_magistral", "train", "nano", name]
            environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)}
            return subprocess.run(
                [*command, "-o", str(tmp_path / "out"), "--dry-run"],
                env={**environment, "NO_PROXY": "127.0.0.1,localhost"},
                capture_output=True,
                text=True,
            )

        found, missing = dry_run("someone/sums"), dry_run("someone/other")
    assert found.returncode == 0, found.stderr
    assert "Examples to train on: 2," in found.stderr
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1
    assert "Or name a file" in missing.stderr
