"""What cannot be kept, or was kept by another, costs a line and never the reply."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlx_magistral.chat.sessions import SessionStore
from mlx_magistral.cli.main import main
from mlx_magistral.memory.prefixes.disk import FOLDER_VARIABLE
from mlx_magistral.memory.prefixes.index import FORMAT

QUESTION = "What is 37 + 48?"
ANSWER = "The sum is $\\boxed{85}$.\n"
TOO_LONG = "x" * 300  # for a file's name, which not even root can make


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLX_MAGISTRAL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def run(*arguments: str, model: str | Path | None = "nano") -> Result:
    named = () if model is None else ("-m", str(model))
    return CliRunner().invoke(main, ["generate", *arguments, *named, "--temperature", "0"])


def as_json(result: Result) -> dict[str, object]:
    """A reply without its times."""
    reply = json.loads(result.stdout)
    del reply["timings"]
    return reply  # type: ignore[no-any-return]


def cached_tokens(result: Result) -> int:
    return int(json.loads(result.stdout)["usage"]["cached_tokens"])


def run_where_files_end_at(
    nbytes: int, *arguments: str, stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """A process whose every file is refused more than ``nbytes``, as a full disk refuses."""
    return subprocess.run(
        [sys.executable, "-m", "mlx_magistral", *arguments, "-m", "nano", "--temperature", "0"],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, nbytes)),
    )


# --- A full disk -----------------------------------------------------------------------------


def test_full_disk_costs_the_prefix_and_one_line(own_prefixes: Path) -> None:
    result = run_where_files_end_at(8192, "generate", QUESTION)
    assert (result.returncode, result.stdout) == (0, ANSWER)
    assert result.stderr.count("cannot be written") == 1
    assert f"The prefix cache {own_prefixes} cannot be written" in result.stderr
    assert list(own_prefixes.iterdir()) == []


@pytest.mark.parametrize("nbytes", [0, 120, 300])  # of which nothing, a line or two are written
def test_full_disk_costs_the_session_and_one_line(data: Path, nbytes: int) -> None:
    arguments = ("generate", QUESTION, "--session", "s", "--no-reuse-prefixes")
    result = run_where_files_end_at(nbytes, *arguments)
    assert (result.returncode, result.stdout) == (0, ANSWER)
    assert result.stderr.count("cannot be written") == 1
    assert f"The session {data / 'sessions' / 's.jsonl'} cannot be written" in result.stderr
    assert "What is said from here on is not kept." in result.stderr
    # The name can be used again: either there is no file or it is a whole session.
    again = run("now add 5", "--session", "s")
    assert again.exit_code == 0 and "damaged" not in again.stderr


def test_chat_goes_on_in_memory_where_the_disk_is_full() -> None:
    result = run_where_files_end_at(0, "chat", stdin=f"{QUESTION}\nnow add 5\n")
    assert result.returncode == 0
    assert result.stdout.endswith("The sum is $\\boxed{90}$.\n"), "it knows the first turn"
    assert result.stderr.count("What is said from here on is not kept.") == 1


# --- Folders that take nothing ---------------------------------------------------------------


def refuses_to_keep(result: Result) -> bool:
    """Whether the reply came, with a line for the prefix and one for the session."""
    assert (result.exit_code, result.stdout) == (0, ANSWER)
    return (
        "prompts are computed anew next time" in result.stderr
        and "What is said from here on is not kept." in result.stderr
        and result.stderr.count("cannot be written") == 2
    )


def test_home_that_is_a_file_costs_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    for name in ("MLX_MAGISTRAL_CONFIG", "MLX_MAGISTRAL_DATA", FOLDER_VARIABLE):
        monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert refuses_to_keep(run(QUESTION, "--session", "s"))


def test_folders_that_cannot_be_looked_into_cost_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLX_MAGISTRAL_DATA", FOLDER_VARIABLE):
        monkeypatch.setenv(name, str(tmp_path / TOO_LONG))
    assert refuses_to_keep(run(QUESTION, "--session", "s"))


@pytest.mark.parametrize("obstacle", ["a folder in the way", "a name too long"])
def test_cache_clear_says_what_it_cannot_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    folder = tmp_path / (TOO_LONG if obstacle == "a name too long" else "prefixes")
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    if obstacle == "a folder in the way":
        (folder / f"{'0' * 32}.json").mkdir(parents=True)
    result = CliRunner().invoke(main, ["cache", "clear"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot be cleared" in result.stderr and result.stderr.count("\n") == 1


# --- Prefixes that are not this model's, or not whole ----------------------------------------


def test_prefixes_of_another_model_are_not_taken(endless_model: Path) -> None:
    limits = ("--max-tokens", "8", "--json")
    without = as_json(run(QUESTION, "--no-reuse-prefixes", *limits))
    run(QUESTION, *limits, model=endless_model)
    beside = run(QUESTION, *limits)
    assert as_json(beside) == without
    assert cached_tokens(beside) == 0 < cached_tokens(run(QUESTION, *limits))


@pytest.mark.parametrize("content", ["other format", "not JSON", "a list"])
def test_manifests_of_others_are_not_taken(own_prefixes: Path, content: str) -> None:
    first = run(QUESTION, "--json")
    for manifest in own_prefixes.glob("*.json"):
        fields = json.loads(manifest.read_text())
        newer = json.dumps({**fields, "format": FORMAT + 1})
        manifest.write_text({"other format": newer, "a list": "[1]"}.get(content, "{"))
    second = run(QUESTION, "--json")
    assert second.exit_code == 0 and as_json(second) == as_json(first)
    assert cached_tokens(run(QUESTION, "--json")) > 0, "written anew"


@pytest.mark.parametrize("damage", ["bit", "short", "empty"])
def test_damaged_prefixes_are_dropped_and_written_anew(own_prefixes: Path, damage: str) -> None:
    first = run(QUESTION, "--json")
    for file in own_prefixes.glob("*.safetensors"):
        content = bytearray(file.read_bytes())
        content[-5] ^= 1
        file.write_bytes({"bit": content, "short": content[:-1]}.get(damage, b""))
    second = run(QUESTION, "--json")
    assert second.exit_code == 0 and as_json(second) == as_json(first)
    assert cached_tokens(run(QUESTION, "--json")) > 0


# --- Sessions of others ----------------------------------------------------------------------


def rewritten_session(data: Path, **header: object) -> None:
    """Session ``s`` with another first line and, where it names a model, replies of that one."""
    run(QUESTION, "--session", "s")
    path = data / "sessions" / "s.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records[0] |= header
    for record in records[1:]:
        if "model" in header and "figures" in record:
            record["figures"]["model"] = header["model"]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_session_of_a_newer_version_is_refused_and_stays(data: Path, command: str) -> None:
    rewritten_session(data, format=99)
    before = (data / "sessions" / "s.jsonl").read_bytes()
    result = CliRunner().invoke(main, [command, "--session", "s", "-m", "nano"], input="hello\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is of a newer version" in result.stderr and result.stderr.count("\n") == 1
    assert (data / "sessions" / "s.jsonl").read_bytes() == before


def test_session_of_a_model_that_is_gone_goes_on_with_another(data: Path, tmp_path: Path) -> None:
    rewritten_session(data, model=str(tmp_path / "gone"))
    alone = run("now add 5", "--session", "s", model=None)
    assert (alone.exit_code, alone.stdout) == (1, "")
    assert f"There is no folder {tmp_path / 'gone'}" in alone.stderr.splitlines()[-1]
    assert run("now add 5", "--session", "s").stdout == "The sum is $\\boxed{90}$.\n"


def test_session_of_another_model_shares_no_prefix(endless_model: Path) -> None:
    run(QUESTION, "--session", "s", "--max-tokens", "4", model=endless_model)
    result = run("What is 12 + 30?", "--session", "s", "--json")
    assert result.exit_code == 0 and cached_tokens(result) == 0
    assert SessionStore().read("s").model == "nano"


# --- Prompts that are too long ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "flags", "context"),
    [(3000, [], "2,048"), (300, ["--context", "256"], "256")],
    ids=["the model's context", "the plan's"],
)
def test_prompt_over_the_context_is_one_line(words: int, flags: list[str], context: str) -> None:
    result = run("word " * words, *flags)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"the model's context holds {context}." in result.stderr
    assert result.stderr.count("\n") == 1


def test_session_survives_a_question_that_was_too_long() -> None:
    assert run(QUESTION, "--session", "s").exit_code == 0
    assert run("word " * 3000, "--session", "s").exit_code == 1
    assert run("now add 5", "--session", "s").stdout == "The sum is $\\boxed{90}$.\n"
