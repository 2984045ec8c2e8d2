"""``generate`` in process: what goes to stdout, what to stderr, and what bad input gets."""

import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlx_magistral.cli.main import main
from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import Event, Finished
from mlx_magistral.hub.resolve import nano_folder

QUESTION = "What is 37 + 48?"
GREEDY = ("--temperature", "0")


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["generate", *arguments], input=stdin)


def test_answer_on_stdout_and_thinking_on_stderr() -> None:
    result = run(QUESTION, *GREEDY, "-m", "nano")
    assert result.exit_code == 0
    assert result.stdout == "The sum is $\\boxed{85}$.\n"
    assert "37+48" in result.stderr


def test_json_is_one_object_with_the_documented_keys() -> None:
    result = run(QUESTION, *GREEDY, "-m", "nano", "--json")
    reply = json.loads(result.stdout)
    assert list(reply) == [
        "model",
        "reasoning",
        "content",
        "tool_calls",
        "finish_reason",
        "usage",
        "timings",
    ]
    assert reply["model"] == "nano"
    assert reply["content"] == "The sum is $\\boxed{85}$."
    assert reply["reasoning"].startswith("37+48")
    assert reply["finish_reason"] == "stop"
    assert set(reply["usage"]) == {
        "prompt_tokens",
        "completion_tokens",
        "reasoning_tokens",
        "cached_tokens",
        "answer_tokens",
    }
    assert set(reply["timings"]) == {
        "load_s",
        "ttft_s",
        "prefill_tps",
        "decode_tps",
        "peak_memory_bytes",
        "reasoning_s",
        "tokens_per_pass",
        "acceptance",
        "guesses",
    }
    assert 0 < reply["usage"]["reasoning_tokens"] < reply["usage"]["completion_tokens"]
    assert result.stderr == ""


def test_a_file_called_dash_is_stdin_in_its_place(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("last")
    flags = ("-m", "nano", "--max-tokens", "1", "--save", str(tmp_path / "out.json"))
    assert run("A", "-f", "-", "-f", str(note), *flags, stdin="B").exit_code == 0
    saved = json.loads((tmp_path / "out.json").read_text())
    assert saved["question"] == "A\n\nB\n\nnote.txt:\nlast"


def test_prompt_from_stdin_argument_and_file_are_joined(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("48?")
    alone = run(*GREEDY, "-m", "nano", stdin=QUESTION)
    assert alone.stdout == "The sum is $\\boxed{85}$.\n"
    joined = json.loads(run("A", "-f", str(note), "-m", "nano", "--json", stdin="B").stdout)
    expected = json.loads(run("A\n\nnote.txt:\n48?\n\nB", "-m", "nano", "--json").stdout)
    assert joined["usage"]["prompt_tokens"] == expected["usage"]["prompt_tokens"]


def test_same_seed_same_reply(endless_model: Path) -> None:
    arguments = (QUESTION, "-m", str(endless_model), "--max-tokens", "40", "--temperature", "1.5")
    first, again, other = (
        run(*arguments, "--seed", seed).stdout + run(*arguments, "--seed", seed).stderr
        for seed in ("1", "1", "2")
    )
    assert first == again
    assert first != other


def test_max_tokens_ends_the_reply(endless_model: Path) -> None:
    result = run("x", "-m", str(endless_model), *GREEDY, "--max-tokens", "9", "--json")
    reply = json.loads(result.stdout)
    assert result.exit_code == 0
    assert reply["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 9


def test_system_text_joins_the_official_prompt_or_replaces_it() -> None:
    def prompt_tokens(*flags: str) -> int:
        result = run("x", "-m", "nano", "--json", "--max-tokens", "1", *flags)
        return int(json.loads(result.stdout)["usage"]["prompt_tokens"])

    official, joined = prompt_tokens(), prompt_tokens("-s", "Be brief.")
    raw, nothing = prompt_tokens("-s", "Be brief.", "--raw-system"), prompt_tokens("--raw-system")
    assert nothing < raw < official < joined


def test_without_a_model_it_says_which_one_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLX_MAGISTRAL_MODEL", raising=False)
    assert "No --model given: using nano" in run(QUESTION, "--max-tokens", "1").stderr
    monkeypatch.setenv("MLX_MAGISTRAL_MODEL", str(nano_folder()))
    assert "using nano" not in run(QUESTION, "--max-tokens", "1").stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "expected"),
    [
        ([], "", 2, "The prompt is empty"),
        (["  "], "", 2, "The prompt is empty"),
        ([], b"caf\xe9", 2, "stdin is not UTF-8 text: byte 0xe9 at offset 3"),
        (["x", "-m", "./nowhere"], None, 1, "no folder ./nowhere"),
        (["x", "-m", "{tmp}"], None, 1, "{tmp}"),
        (["x", "-m", "nano", "--top-p", "2"], None, 2, "top_p must be"),
        (["x", "-m", "nano", "--max-tokens", "0"], None, 2, "max_tokens must be"),
        (["word " * 3000, "-m", "nano"], None, 1, "the model's context holds"),
    ],
)
def test_bad_input_is_one_line_with_its_exit_code(
    tmp_path: Path, arguments: list[str], stdin: str | bytes | None, code: int, expected: str
) -> None:
    arguments = [each.replace("{tmp}", str(tmp_path)) for each in arguments]
    result = run(*arguments, stdin=stdin)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("No --model")]
    assert result.exit_code == code
    assert result.stdout == ""
    assert len(lines) == 1 and lines[0].startswith("error: ")
    assert expected.replace("{tmp}", str(tmp_path)) in lines[0]


def test_ctrl_c_prints_the_json_so_far(
    endless_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = ReplyCollector.feed

    def feed_and_interrupt(collector: ReplyCollector, event: Event) -> None:
        feed(collector, event)
        if not isinstance(event, Finished):
            os.kill(os.getpid(), signal.SIGINT)
            monkeypatch.setattr(ReplyCollector, "feed", feed)

    monkeypatch.setattr(ReplyCollector, "feed", feed_and_interrupt)
    result = run("x", "-m", str(endless_model), *GREEDY, "--json")
    assert result.exit_code == 130
    reply = json.loads(result.stdout)
    assert reply["finish_reason"] == "interrupted"
    assert reply["usage"]["completion_tokens"] < 10


def test_debug_shows_the_traceback() -> None:
    result = run("x", "-m", "./nowhere", "--debug")
    assert result.exception is not None
    assert type(result.exception).__name__ == "ModelNotFoundError"


def test_quiet_has_nothing_on_stderr_and_verbose_the_plan() -> None:
    quiet = run(QUESTION, *GREEDY, "-q")
    assert quiet.stderr == ""
    verbose = run(QUESTION, *GREEDY, "-m", "nano", "-v")
    assert "weights" in verbose.stderr and "KV for 2,048 tokens" in verbose.stderr
    assert quiet.stdout == verbose.stdout
