"""``train-drafter`` in process: the whole way on nano, and what bad input gets."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mlx_magistral import Magistral
from mlx_magistral.chat.sessions import SessionStore
from mlx_magistral.cli.main import main

QUICK = ("--max-tokens", 24, "--tokens", 1, "--pack-tokens", 256, "--draft-vocab", 128)


def train(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["train-drafter", *map(str, arguments)])


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    lines = [
        {"prompt": "What is 1 + 1?"},
        {"messages": [{"role": "user", "content": "Sort 2, 1."}]},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_a_head_comes_out_that_generate_takes(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlx_magistral.train.drafter.job._FEWEST_STEPS", 3)
    folder = tmp_path / "head"
    result = train("nano", folder, "--data", prompts, *QUICK, "--eval-every", 1, "--json")
    assert result.exit_code == 0, result.output
    for told in ("2 prompts", "Memory: the model", "2 of 2 replies", "3 steps", "ids a pass"):
        assert told in result.stderr
    lines = [json.loads(each) for each in result.stdout.splitlines()]
    assert [each["step"] for each in lines if "loss" in each] == [1, 2, 3]
    assert all(each["ids_a_pass"] >= 1 for each in lines if "valid_loss" in each)
    assert (folder / "training" / "curve.png").read_bytes().startswith(b"\x89PNG")
    arguments = ["generate", "-m", "nano", "--draft", str(folder), "--max-tokens", "3", "2+2"]
    assert CliRunner().invoke(main, arguments).exit_code == 0


def test_the_plan_alone_writes_nothing(prompts: Path, tmp_path: Path) -> None:
    result = train("nano", tmp_path / "head", "--data", prompts, "--dry-run")
    assert result.exit_code == 0 and "Memory: the model" in result.stderr
    assert not (tmp_path / "head").exists()


def test_sessions_are_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_MAGISTRAL_DATA", str(tmp_path / "data"))
    session = SessionStore().create(question="Adding", model="nano")
    session.add_user("What is 2 + 2?")
    session.add_reply(Magistral.load("nano").generate("What is 2 + 2?", max_tokens=300))
    session.close()
    result = train("nano", tmp_path / "head", "--from-sessions", "adding", "--dry-run")
    assert result.exit_code == 0 and "1 prompts." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "There is nothing to ask"),
        (("--hours", 1, "--tokens", 5, "--data", "x.jsonl"), 2, "exclude each other"),
        (("--data", "missing.jsonl"), 2, "no file or folder missing.jsonl"),
        (("--unroll", 9, "--data", "PROMPTS"), 2, "--unroll is 3 to 5"),
        (("--pack-tokens", 8, "--data", "PROMPTS"), 2, "--pack-tokens is 64 or more"),
        (("--from-sessions", "no such words"), 1, "No session holds"),
    ],
    ids=["nothing", "both", "missing", "unroll", "pack", "sessions"],
)
def test_bad_input_is_one_line(
    arguments: tuple[Any, ...],
    code: int,
    message: str,
    prompts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLX_MAGISTRAL_DATA", str(tmp_path / "data"))
    given = [prompts if each == "PROMPTS" else each for each in arguments]
    result = train("nano", tmp_path / "head", *given)
    assert result.exit_code == code and message in result.stderr
    assert "Traceback" not in result.output
