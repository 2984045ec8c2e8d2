"""`eval` as it is used: run, resumed, shown and compared."""

import json
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest
from click.testing import CliRunner, Result

from mlx_magistral.cli.main import main
from mlx_magistral.evals.run.folder import read_run, read_samples


def evaluate(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["eval", *arguments])


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of problems that nano can solve, one that it cannot read, and one without a box."""
    monkeypatch.chdir(tmp_path)
    problems: list[dict[str, Any]] = [
        {"problem": "What is 37 + 48?", "answer": 85, "id": "sum"},
        {"problem": "What is 9 - 7?", "answer": 3, "id": "wrong"},
        {"problem": "hello", "answer": "hi", "kind": "text", "id": "talk"},
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in problems))
    return path


PLAIN = ("--prompt", "{problem}", "--temperature", "0", "-m", "nano", "--width", "2")


def test_a_run_its_report_and_its_replies(own: Path) -> None:
    result = evaluate("own.jsonl", *PLAIN, "-o", "run")
    assert result.exit_code == 0, result.stderr
    assert "3 replies of about" in result.stderr and "3 replies in" in result.stderr
    assert "own" in result.stdout and "33.3" in result.stdout
    assert "protocol paper; own: temperature 0, top-p 0.95" in result.stdout
    assert "no answer could be read: talk:0 (no whole \\boxed{})" in " ".join(result.stdout.split())

    report = json.loads(evaluate("show", "run", "--json").stdout)
    (task,) = report["tasks"]
    assert task["pass_at_1"] == pytest.approx(1 / 3) and task["problems"] == 3
    assert report["identity"]["model"]["name"] == "nano"
    shown = evaluate("show", "run", "own/sum").stdout
    assert "What is 37 + 48?" in shown and "Reply 0: right; read '85'" in shown
    assert "37+48" in shown and "\\boxed{85}" in shown
    one = json.loads(evaluate("show", "run", "wrong", "--json").stdout)
    assert one["problem"]["answer"] == "3" and one["samples"][0]["verdict"] == "wrong"
    table = evaluate("show", "run", "--markdown").stdout
    assert table.startswith("| task | pass@1 |") and "| own | 33.3 % |" in table
    assert "sha256" in table and "weights" in table


def test_the_same_command_goes_on_and_makes_nothing_twice(own: Path) -> None:
    assert evaluate("own.jsonl", *PLAIN, "-q", "--limit", "1").exit_code == 0
    (folder,) = (own.parent / "eval-runs").iterdir()
    first = (folder / "samples.jsonl").read_text()
    again = evaluate("run", "own.jsonl", *PLAIN, "-n", "2")
    assert again.exit_code == 0, again.stderr
    assert "1 of 6 replies are there" in again.stderr
    assert (folder / "samples.jsonl").read_text().startswith(first)
    samples = read_samples(folder)
    assert sorted((each.problem, each.sample) for each in samples) == [
        (name, number) for name in ("sum", "talk", "wrong") for number in (0, 1)
    ]
    assert [each["samples"] for each in read_run(folder)["sessions"]] == [1, 5]
    whole = evaluate("own.jsonl", *PLAIN, "-n", "2")
    assert "6 of 6 replies are there" in whole.stderr
    assert len(read_samples(folder)) == 6


def test_a_run_with_other_flags_is_another_run(own: Path) -> None:
    assert evaluate("own.jsonl", *PLAIN, "-q", "-o", "run").exit_code == 0
    result = evaluate("own.jsonl", *PLAIN, "-o", "run", "--top-p", "0.5", "--context", "512")
    assert result.exit_code == 1
    assert "model.context_tokens, recipe.top_p differ" in result.stderr


def test_samples_are_those_of_a_reply_alone(own: Path) -> None:
    """The seed of a sample depends on nothing that runs beside it."""
    from mlx_magistral import Magistral

    flags = ("own.jsonl", "--prompt", "{problem}", "-m", "nano", "-q", "-n", "2")
    assert evaluate(*flags, "-o", "wide", "--width", "5").exit_code == 0
    assert evaluate(*flags, "-o", "narrow", "--width", "1").exit_code == 0
    wide, narrow = (
        {each.key: (each.seed, each.thinking, each.answer) for each in read_samples(Path(folder))}
        for folder in ("wide", "narrow")
    )
    assert wide == narrow
    seed, thinking, answer = wide["own", "sum", 1]
    alone = Magistral.load("nano").generate("What is 37 + 48?", top_p=0.95, seed=seed)
    assert (alone.reasoning, alone.content) == (thinking, answer)


def test_two_runs_are_held_against_each_other(own: Path) -> None:
    assert evaluate("own.jsonl", *PLAIN, "-q", "-o", "a").exit_code == 0
    assert evaluate("own.jsonl", *PLAIN, "-q", "-o", "b", "--think-budget", "0").exit_code == 0
    result = evaluate("compare", "a", "b")
    assert result.exit_code == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "They differ in recipe.think_budget." in text and "-33.3" in text
    assert "B is b: nano, weights" in text and "thinking at most 0 tokens" in text
    assert "own: they part at sum (1.00 and 0.00)." in text
    found = json.loads(evaluate("compare", "a", "b", "--json").stdout)
    assert found["tasks"][0]["difference"] == pytest.approx(-1 / 3)
    gate = evaluate("compare", "a", "b", "--max-loss", "2")
    assert gate.exit_code == 1 and "may lose more than 2 points" in gate.stderr


def test_hours_end_a_run_between_replies(own: Path) -> None:
    result = evaluate("own.jsonl", *PLAIN, "-n", "50", "--hours", "1e-9", "-o", "run")
    assert result.exit_code == 1 and "run has no replies yet" in result.stderr
    assert "0 of 150 replies are there; the same command goes on" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nanno"], 2, "no task nanno. Did you mean nano?"),
        (["nano", "-n", "0"], 2, "-n is 0; each problem takes at least one sample"),
        (["nano", "--prompt", "x"], 2, "--prompt must hold {problem}"),
        (["nano", "--hours", "0"], 2, "--hours"),
        (["missing.jsonl"], 1, "missing.jsonl cannot be read"),
        (["show", "nowhere"], 1, "nowhere is no run"),
        (["compare", "nowhere", "there"], 1, "nowhere is no run"),
        ([], 2, "Usage"),
    ],
)
def test_what_cannot_be_is_one_line(
    own: Path, arguments: list[str], code: int, message: str
) -> None:
    result = evaluate(*arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert not (own.parent / "eval-runs").exists()


def test_public_data_of_one_s_own_copy_is_named_in_the_run(own: Path) -> None:
    row = {"id": 1, "problem": "What is 37 + 48?", "answer": "085"}
    (own.parent / "aime.jsonl").write_text(json.dumps(row) + "\n")
    flags = ("--data", "aime.jsonl", "--max-tokens", "200", "-n", "2", "-o", "run")
    result = evaluate("aime24", *PLAIN, *flags)
    assert result.exit_code == 0, result.stderr
    assert "aime24: 1 problem of aime.jsonl." in result.stderr
    assert "70.52" in result.stdout and "100.0" in result.stdout
    assert "top-p 1, at most 200 tokens" in result.stdout
    assert read_run(Path("run"))["identity"]["tasks"]["aime24"]["files"].keys() == {"aime.jsonl"}


def test_programs_are_judged_in_a_sandbox_or_not_at_all(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "linux":
        pytest.skip("whether a Mac's sandbox holds is for its own test to say")
    record = {"problem": "Add.", "tests": [{"input": "1 2", "output": "3"}], "id": "add"}
    own.write_text(json.dumps(record) + "\n")
    result = evaluate("own.jsonl", *PLAIN, "-o", "run", "--max-tokens", "30")
    assert result.exit_code == 0, result.stderr
    assert "programs run in a sandbox (" in result.stderr
    assert [each.note for each in read_samples(Path("run"))] == ["no closed code block"]
    monkeypatch.setattr("mlx_magistral.evals.sandbox.sandbox._FENCES", {})
    refused = evaluate("own.jsonl", *PLAIN, "-o", "other")
    assert refused.exit_code == 1 and "--unsafe-no-sandbox" in refused.stderr
    unsafe = evaluate(
        "own.jsonl", *PLAIN, "-o", "other", "--max-tokens", "30", "--unsafe-no-sandbox"
    )
    assert unsafe.exit_code == 0
    assert "WITHOUT A SANDBOX" in unsafe.stderr


def test_on_a_terminal_it_asks_before_it_starts(own: Path) -> None:
    command = ["-m", "mlx_magistral", "eval", "own.jsonl", *PLAIN, "-o", "run"]
    with pexpect.spawn(sys.executable, command, timeout=60, encoding="utf-8") as terminal:
        terminal.expect(r"3 replies of about .* tok/s: about")
        terminal.expect("Start")
        terminal.sendline("n")
        terminal.expect(pexpect.EOF)
    assert terminal.exitstatus == 1
    assert read_samples(Path("run")) == []
