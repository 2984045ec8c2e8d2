"""The memory flags of ``generate``: planned context, KV bits, and prompts that are continued."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlx_magistral.cli.main import main
from mlx_magistral.memory.prefixes.disk import FOLDER_VARIABLE

QUESTION = "What is 37 + 48?"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(
        main, ["generate", QUESTION, "-m", "nano", "--temperature", "0", *arguments]
    )


def cached_tokens(result: Result) -> int:
    return int(json.loads(result.stdout)["usage"]["cached_tokens"])


def test_8_bit_kv_gives_nanos_answer() -> None:
    assert run("--kv-bits", "8").stdout == "The sum is $\\boxed{85}$.\n"


def test_prompt_is_continued_from_disk_and_the_answer_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "prefixes"))
    first, second = run("--json"), run("--json")
    prompt_tokens = json.loads(first.stdout)["usage"]["prompt_tokens"]
    assert (cached_tokens(first), cached_tokens(second)) == (0, prompt_tokens - 1)
    assert json.loads(first.stdout)["content"] == json.loads(second.stdout)["content"]
    assert (tmp_path / "prefixes").stat().st_mode & 0o077 == 0
    assert cached_tokens(run("--no-reuse-prefixes", "--json")) == 0


def test_nothing_is_written_where_it_is_turned_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "prefixes"))
    assert run("--no-reuse-prefixes").exit_code == 0
    assert not (tmp_path / "prefixes").exists()


def test_folder_that_cannot_be_written_is_a_line_and_the_reply_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "file" / "x"))
    result = run()
    assert result.stdout == "The sum is $\\boxed{85}$.\n"
    assert "cannot be written" in result.stderr and result.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--context", "9999"], 2, "--context is 9,999; this model takes 1 to 2,048"),
        (["--context", "0"], 2, "--context is 0; this model takes 1 to 2,048"),
        (["--context", "5"], 1, "the model's context holds"),
        (["--kv-bits", "3"], 2, "'3' is not one of"),
    ],
)
def test_bad_values_are_one_line(arguments: list[str], code: int, expected: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert expected in result.stderr and result.stderr.count("\n") == 1
