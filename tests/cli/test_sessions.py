"""``generate --session`` and ``--continue``, each turn in a process's place of its own."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlx_magistral.chat.sessions import SessionStore
from mlx_magistral.cli.main import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_MAGISTRAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MLX_MAGISTRAL_CACHE", str(tmp_path / "cache"))


def run(*arguments: str) -> Result:
    flags = ("--temperature", "0", "-m", "nano", "--json")
    return CliRunner().invoke(main, ["generate", *arguments, *flags])


def test_the_second_turn_knows_the_first_and_prefills_only_what_is_new() -> None:
    first = run("What is 37 + 48?", "--session", "sums")
    assert first.stderr.splitlines() == [
        "New session sums; earlier thoughts are dropped (--keep-reasoning)."
    ]
    second = run("now add 5", "--continue")
    assert "Session sums: 1 turn so far; earlier thoughts are dropped" in second.stderr
    reply, before = json.loads(second.stdout), json.loads(first.stdout)
    assert reply["content"] == "The sum is $\\boxed{90}$."
    # All but [/INST], which is read again with the answer that follows it.
    assert reply["usage"]["cached_tokens"] == before["usage"]["prompt_tokens"] - 1


def test_kept_thoughts_are_in_the_prompt() -> None:
    first = json.loads(run("What is 37 + 48?", "--session", "kept").stdout)
    kept = run("now add 5", "--session", "kept", "--keep-reasoning")
    assert "earlier thoughts are kept (--drop-reasoning)" in kept.stderr
    run("What is 37 + 48?", "--session", "dropped")
    dropped = json.loads(run("now add 5", "--session", "dropped").stdout)
    more = json.loads(kept.stdout)["usage"]["prompt_tokens"] - dropped["usage"]["prompt_tokens"]
    assert more == first["usage"]["reasoning_tokens"] + len(["[THINK]", "[/THINK]"])


def test_tool_calls_and_results_are_kept() -> None:
    run("What is 4821 * 377?", "--session", "t", "--yes", "--tool", "calculator(expression)=echo 9")
    roles = [each["role"] for each in SessionStore().read("t").messages]
    assert roles == ["user", "assistant", "tool", "assistant"]


def test_system_text_stays_with_the_session() -> None:
    run("What is 37 + 48?", "--session", "s", "--system", "Be brief.")
    run("now add 5", "--session", "s")
    assert SessionStore().read("s").system == "Be brief."


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--continue"], 1, "There is no session to continue yet."),
        (["--session", "../x"], 2, "A session's name is"),
        (["--session", "x", "--continue"], 2, "leave it out"),
    ],
)
def test_bad_input_is_one_line(flags: list[str], code: int, said: str) -> None:
    result = run("hello", *flags)
    assert result.exit_code == code
    assert said in result.stderr and result.stderr.startswith("error: ")


def test_a_part_of_a_name_finds_the_session_that_load_finds() -> None:
    run("What is 37 + 48?", "--session", "monday-sums")
    again = run("now add 5", "--session", "sums")
    assert "Session monday-sums: 1 turn so far;" in again.stderr
    run("What is 1 + 2?", "--session", "sums-of-tuesday")
    assert "New session evening;" in run("What is 1 + 2?", "--session", "evening").stderr
    several = run("now add 5", "--session", "sums")
    assert several.exit_code == 1
    assert "2 sessions have 'sums' in their name" in several.stderr
    # The whole name is meant where it is one.
    run("What is 3 + 4?", "--session", "monday")
    assert SessionStore().names()[0] == "monday-sums"


def test_chat_says_which_session_it_begins_or_goes_on_with() -> None:
    def chat(*flags: str) -> Result:
        flags = ("chat", "-m", "nano", *flags)
        return CliRunner().invoke(main, flags, input="What is 37 + 48?\n")

    assert "New session monday-sums.\n" in chat("--session", "monday-sums").stderr
    again = chat("--session", "monday")
    assert "Session monday-sums, 1 turn:" in again.stderr and "New session" not in again.stderr
