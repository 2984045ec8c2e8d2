"""A batch answers each line as the server would, once, however often it is begun."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from model.adapters.folders import write_adapter
from openai.types.chat import ChatCompletion

from mlx_magistral import Magistral
from mlx_magistral.cli.main import main
from mlx_magistral.evals.batch.answers import open_lines, refusal
from mlx_magistral.evals.batch.lines import RequestLine, read_requests
from mlx_magistral.evals.line_file import LineFile
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.checkpoint import open_checkpoint

CHAT = "/v1/chat/completions"


def asked(custom_id: str, question: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    body = {"model": "any", "messages": messages, **fields}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


def write(path: Path, *lines: Any) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return path


def batch(source: Path, *flags: str) -> Result:
    output = source.with_name("answers.jsonl")
    arguments = ["batch", str(source), "-o", str(output), "-m", "nano", *flags]
    return CliRunner().invoke(main, arguments)


def answers(source: Path) -> dict[str, dict[str, Any]]:
    lines = source.with_name("answers.jsonl").read_text().splitlines()
    return {record["custom_id"]: record for record in map(json.loads, lines)}


def content(record: dict[str, Any], choice: int = 0) -> Any:
    return record["response"]["body"]["choices"][choice]["message"]["content"]


def test_each_form_is_answered_and_a_bad_line_stops_nobody(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in.jsonl",
        asked("a", "What is 37 + 48?", temperature=0),
        {"prompt": "What is 12 * 34?", "temperature": 0, "n": 2},
        "no json",
        "",
        {"messages": [{"role": "user", "content": "Sort 5, 3, 9."}], "temperature": 0},
        {"custom_id": "raw", "url": "/v1/completions", "body": {"prompt": "ab", "max_tokens": 3}},
        asked("a", "twice"),
        {"custom_id": "unknown", "body": {"messages": [], "frobnicate": 1}},
        {"custom_id": "embed", "url": "/v1/embeddings", "body": {"input": "x"}},
        asked("streamed", "x", stream=True),
        {"prompt": "word " * 3000},
        [1],
    )
    result = batch(source)
    assert result.exit_code == 1, result.stderr
    assert "11 answers, 7 of them with an error" in result.stderr
    records = [json.loads(each) for each in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(records) == len({record["id"] for record in records}) == 11
    found = {record["custom_id"]: record for record in records if record["error"] is None}
    assert content(found["a"]) == "The sum is $\\boxed{85}$."
    assert [content(found["line-2"], n) for n in (0, 1)] == ["The product is $\\boxed{408}$."] * 2
    assert content(found["line-5"]) == "Sorted: $\\boxed{3, 5, 9}$."
    assert found["raw"]["response"]["body"]["object"] == "text_completion"
    refused = {
        record["custom_id"]: (record["error"]["code"], record["error"]["message"])
        for record in records
        if record["error"] is not None
    }
    assert refused["line-3"] == ("invalid_request", "Line 3 is no request: it is no JSON.")
    assert "line 1 has the same custom_id" in refused["a"][1]
    assert refused["embed"][1].endswith(f"supported are {CHAT} and /v1/completions.")
    assert refused["line-11"][0] == "context_length_exceeded"
    assert refused["line-12"][1] == "Line 12 is no request: it is a list, not an object."
    assert {"unknown", "streamed"} < refused.keys()


def test_answers_are_what_openai_s_client_reads(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in.jsonl", asked("a", "What is 37 + 48?", logprobs=True, top_logprobs=1)
    )
    assert batch(source).exit_code == 0
    record = answers(source)["a"]
    assert record["response"]["status_code"] == 200
    reply = ChatCompletion.model_validate(record["response"]["body"])
    assert reply.usage is not None and reply.usage.completion_tokens_details is not None
    assert reply.usage.completion_tokens_details.reasoning_tokens
    assert reply.choices[0].message.model_extra["reasoning"].startswith("37+48")  # type: ignore[index]
    assert reply.choices[0].logprobs is not None and reply.choices[0].logprobs.content


def test_a_seed_makes_it_the_same_at_any_width_and_as_one_by_one(
    tmp_path: Path, nano: Magistral
) -> None:
    questions = ["What is 37 + 48?", "Sort 5, 3.", "hello"]
    lines = [{"prompt": question, "temperature": 0.9} for question in questions]
    said = []
    for width in ("1", "3"):
        (tmp_path / width).mkdir()
        source = write(tmp_path / width / "in.jsonl", *lines)
        assert batch(source, "--seed", "7", "--width", width).exit_code == 0
        said.append({id: content(record) for id, record in answers(source).items()})
    assert said[0] == said[1]
    one = write(tmp_path / "in.jsonl", asked("x", questions[0], temperature=0.9, seed=11))
    assert batch(one).exit_code == 0
    alone = nano.generate(questions[0], temperature=0.9, seed=11)
    assert content(answers(one)["x"]) == alone.content


def test_flags_are_for_requests_that_do_not_say(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", {"prompt": "hello"}, {"prompt": "hello", "max_tokens": 2})
    assert batch(source, "--max-tokens", "5", "--temperature", "0").exit_code == 0
    used = [
        each["response"]["body"]["usage"]["completion_tokens"] for each in answers(source).values()
    ]
    assert sorted(used) == [2, 5]


def test_again_repeats_nothing_and_asks_only_for_what_changed(tmp_path: Path) -> None:
    good = asked("a", "What is 37 + 48?", seed=1)
    source = write(tmp_path / "in.jsonl", good, {"custom_id": "b", "body": {"messages": "?"}})
    assert batch(source).exit_code == 1
    before = (tmp_path / "answers.jsonl").read_text()
    assert batch(source).exit_code == 1
    assert (tmp_path / "answers.jsonl").read_text() == before
    # The bad line mended, and one more: the answer that is there stays.
    write(source, good, asked("b", "hello"), asked("c", "Sort 2, 1."))
    assert batch(source).exit_code == 0
    after = (tmp_path / "answers.jsonl").read_text()
    assert after.splitlines()[0] in before.splitlines()
    assert len(after.splitlines()) == 3 == len(answers(source))


def test_answers_to_something_else_are_not_mixed_in(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", asked("a", "hello", max_tokens=2))
    assert batch(source).exit_code == 0
    lines = read_requests(source)
    with LineFile(tmp_path / "answers.jsonl") as output:
        assert open_lines(output, lines, "nano") == []
    write(source, asked("a", "another question"))
    changed = batch(source)
    assert changed.exit_code == 1 and "another request of custom_id 'a'" in changed.stderr
    with LineFile(tmp_path / "answers.jsonl") as output, pytest.raises(Exception, match="of nano"):
        open_lines(output, lines, "other")
    (tmp_path / "answers.jsonl").write_text('{"question": 1}\n')
    assert "something else than answers" in batch(source).stderr


def test_a_failure_inside_is_tried_again(tmp_path: Path) -> None:
    line = RequestLine(1, "batch_req_1", "a")
    with LineFile(tmp_path / "answers.jsonl") as output:
        output.append(refusal(line, "The reply failed.", "internal_error"))
        assert open_lines(output, [line], "nano") == [line]
        assert list(output.records()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.jsonl", "-o", "out.jsonl"], 1, "missing.jsonl cannot be read"),
        (["empty.jsonl", "-o", "out.jsonl"], 1, "is empty"),
        (["empty.jsonl", "-o", "empty.jsonl"], 2, "is the input itself"),
        (["empty.jsonl"], 2, "--output"),
        (["empty.jsonl", "-o", "out.jsonl", "--width", "0"], 2, "--width"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").write_text("\n")
    result = CliRunner().invoke(main, ["batch", *arguments])
    assert result.exit_code == code
    assert message in result.stderr and result.stderr.startswith("error: ")


def test_a_killed_batch_goes_on_where_it_was(tmp_path: Path) -> None:
    lines = [asked(f"q{n}", f"What is {n} + 48?", seed=n, temperature=0.7) for n in range(16)]
    source = write(tmp_path / "in.jsonl", *lines)
    output = tmp_path / "answers.jsonl"
    command = [sys.executable, "-m", "mlx_magistral", "batch", str(source), "-o", str(output)]
    with subprocess.Popen([*command, "-m", "nano", "-q"], env={**os.environ}) as process:
        while not output.exists() or output.read_bytes().count(b"\n") < 3:
            assert process.poll() is None
            time.sleep(0.01)  # Nothing to wait on: the file is what is watched.
        refused = batch(source)
        assert refused.exit_code == 1 and "Another process" in refused.stderr
        process.send_signal(signal.SIGKILL)
    kept = output.read_bytes()
    kept = kept[: kept.rindex(b"\n") + 1]
    assert batch(source, "-q").exit_code == 0
    assert output.read_bytes().startswith(kept)
    records = [json.loads(line) for line in output.read_text().splitlines()]
    assert sorted(record["custom_id"] for record in records) == sorted(
        line["custom_id"] for line in lines
    )


def test_replies_with_an_adapter_have_a_name_of_their_own(tmp_path: Path) -> None:
    config = open_checkpoint(nano_folder()).config
    adapter = write_adapter(tmp_path / "mine", config, size=0.5)
    source = write(tmp_path / "in.jsonl", asked("a", "hello", max_tokens=3, temperature=0))
    assert batch(source, "--adapter", str(adapter)).exit_code == 0
    assert answers(source)["a"]["response"]["body"]["model"] == "nano+mine"
    plain = batch(source)
    assert plain.exit_code == 1 and "holds replies of nano+mine, not of nano" in plain.stderr
