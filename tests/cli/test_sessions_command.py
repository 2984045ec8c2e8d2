"""``sessions``: conversations listed, searched, shown, exported and deleted; and their Tab."""

import json
import os
import sys
from pathlib import Path

import pexpect
import pytest
from click.testing import CliRunner, Result

from mlx_magistral.chat.sessions import SessionStore
from mlx_magistral.cli.main import main
from mlx_magistral.events import FinishReason, Reply, Timings, Usage
from mlx_magistral.memory.prefixes.disk import PrefixDisk

REPLY = Reply(
    model="nano",
    reasoning="divide",
    content="It is **prime**.",
    finish_reason=FinishReason.STOP,
    usage=Usage(prompt_tokens=9, completion_tokens=5, reasoning_tokens=2),
    timings=Timings(0.0, 0.1, 90.0, 50.0, 1),
)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionStore:
    """Two conversations, the second one written to last."""
    monkeypatch.setenv("MLX_MAGISTRAL_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    store = SessionStore()
    for at, (name, question) in enumerate([("thesis", "Is 97 prime?"), ("trip", "Où aller ?")]):
        session = store.create(question=question, model="nano", name=name)
        session.add_user(question)
        session.add_reply(REPLY if name == "thesis" else Reply(**{**vars(REPLY), "content": "Là."}))
        session.close()
        os.utime(session.path, (at, at))
    return store


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["sessions", *arguments])


@pytest.mark.parametrize("arguments", [[], ["list"]])
def test_list_is_newest_first(arguments: list[str]) -> None:
    lines = run(*arguments).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["trip", "thesis"]
    assert "1 turn, 1970-01-0" in lines[1] and lines[1].endswith("  Is 97 prime?")


def test_json_has_what_the_lines_have() -> None:
    (found,) = json.loads(run("search", "97", "PRIME", "--json").stdout)["sessions"]
    assert found == {
        "name": "thesis",
        "title": "Is 97 prime?",
        "turns": 1,
        "used": 0.0,
        "model": "nano",
    }
    assert len(json.loads(run("list", "--json").stdout)["sessions"]) == 2
    assert json.loads(run("search", "nothing", "--json").stdout) == {"sessions": []}


def test_show_has_question_thinking_and_answer() -> None:
    shown = run("show", "thes").stdout
    assert shown.startswith("> Is 97 prime?\n") and "> divide" in shown
    assert "It is **prime**." in shown
    document = json.loads(run("show", "thesis", "--json").stdout)
    assert [each["role"] for each in document["messages"]] == ["user", "assistant"]


def test_export_never_writes_over_a_file_unasked() -> None:
    assert run("export", "thesis").stdout == "thesis.md\n"
    assert "It is **prime**." in Path("thesis.md").read_text("utf-8")
    Path("thesis.md").write_text("mine")
    refused = run("export", "thesis")
    assert refused.exit_code == 2 and Path("thesis.md").read_text() == "mine"
    assert run("export", "thesis", "--force").exit_code == 0
    assert run("export", "trip", "trip.html").exit_code == 0
    assert "<h1>Où aller ?</h1>" in Path("trip.html").read_text("utf-8")


def test_rm_wants_a_yes_and_the_whole_name(store: SessionStore) -> None:
    assert run("rm", "thesis").exit_code == 2
    assert run("rm", "thes", "--yes").exit_code == 1
    assert store.exists("thesis")
    assert run("rm", "thesis", "--yes").stdout == "Deleted thesis.\n"
    assert store.names() == ["trip"]


@pytest.mark.parametrize(("answer", "stays"), [("n", True), ("y", False)])
def test_rm_asks_at_a_terminal(store: SessionStore, answer: str, stays: bool) -> None:
    child = pexpect.spawn(
        sys.executable, ["-m", "mlx_magistral", "sessions", "rm", "thesis"], timeout=60
    )
    child.expect_exact("Delete thesis ('Is 97 prime?')? [y/N]")
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert store.exists("thesis") is stays and child.exitstatus == int(stays)


def test_rm_leaves_a_session_that_is_open_elsewhere(store: SessionStore) -> None:
    session, _ = store.resume("thesis")
    refused = run("rm", "thesis", "--yes")
    session.close()
    assert refused.exit_code == 1 and "open in another process" in refused.stderr
    assert store.exists("thesis")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["search", "nothing"], 1, "No session holds 'nothing'."),
        (["show", "t"], 1, "2 sessions have 't' in their name"),
        (["show", "nothing"], 1, "There is no session 'nothing'"),
        (["rm", "../data", "--yes"], 2, "A session's name is"),
        (["export", "thesis", "thesis.pdf"], 2, ".md, .html or .json"),
        (["export", "thesis", "nowhere/x.md"], 2, "there is no folder nowhere"),
        (["search"], 2, "TEXT"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], code: int, said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code and said in result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_no_session_yet_is_no_failure(store: SessionStore) -> None:
    for name in store.names():
        store.delete(name)
    result = run()
    assert result.exit_code == 0 and result.stdout == ""
    assert "mlx-magistral chat begins one" in result.stderr


@pytest.mark.parametrize("before", ["chat --session", "generate --session", "sessions show"])
def test_tab_completes_names(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = f"mlx-magistral {before} the"
    asked = {
        "_MLX_MAGISTRAL_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    result = CliRunner().invoke(main, [], prog_name="mlx-magistral", env=asked)
    assert result.stdout == "plain,thesis\n"


def entries(folder: Path) -> list[int]:
    return sorted(len(each.tokens) for each in PrefixDisk(folder).entries() if not each.is_pinned)


def test_rm_takes_what_was_computed_for_it_and_for_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "prefixes"
    monkeypatch.setenv("MLX_MAGISTRAL_CACHE", str(folder))
    long = "What is 37 + 48? " + "Take your time. " * 20

    def ask(session: str, text: str) -> None:
        command = ["generate", "-m", "nano", "--session", session, "--max-tokens", "80", text]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output

    ask("shared", long)
    ask("thesis-2", long)
    before = entries(folder)
    assert len(before) == 1
    ask("thesis-2", "now add 5 " * 20)
    assert len(entries(folder)) == 2
    assert ", and " in run("rm", "thesis-2", "--yes").stdout
    assert entries(folder) == before
    deleted = run("rm", "shared", "--yes")
    assert "MB that were computed for it." in deleted.stdout and deleted.stderr == ""
    assert entries(folder) == []
    # The official system prompt is nobody's secret.
    assert any(each.is_pinned for each in PrefixDisk(folder).entries())


def test_rm_says_what_stays_where_the_model_is_gone(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLX_MAGISTRAL_CACHE", str(tmp_path / "prefixes"))
    CliRunner().invoke(main, ["generate", "-m", "nano", "--reuse-prefixes", "Say it. " * 30])
    assert PrefixDisk(tmp_path / "prefixes").entries()
    session = store.create(question="?", model="gone-4bit", name="old")
    session.add_user("?")
    session.close()
    deleted = run("rm", "old", "--yes")
    assert deleted.stdout == "Deleted old.\n"
    assert "stays until `mlx-magistral cache clear`: There is no folder gone-4bit" in deleted.stderr
