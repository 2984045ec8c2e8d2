"""--schema, --tool and --save at the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlx_magistral.cli.main import main

SCHEMA = '{"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], '
SCHEMA += '"additionalProperties": false}'


def run(model: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["generate", "x", "-m", str(model), *arguments])


def test_schema_as_text_and_as_file(endless_model: Path, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(SCHEMA)
    for schema in (SCHEMA, str(tmp_path / "schema.json")):
        flags = ("--schema", schema, "--think-budget", "0", "--seed", "1", "--json")
        reply = json.loads(run(endless_model, *flags).stdout)
        assert json.loads(reply["content"])["n"] in (1, 2)
        assert reply["finish_reason"] == "stop"


def test_too_few_tokens_are_said_to_be(endless_model: Path) -> None:
    result = run(endless_model, "--schema", SCHEMA, "--think-budget", "0", "--max-tokens", "1")
    assert result.exit_code == 0
    assert "The JSON is not complete: --max-tokens ended it." in result.stderr


def test_save_writes_the_reply(endless_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "reply.html"
    assert run(endless_model, "--max-tokens", "9", "--save", str(target)).exit_code == 0
    assert target.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--schema", "{"], "--schema is not JSON"),
        (["--schema", "no-such-file"], "no-such-file cannot be read"),
        (["--schema", "{}", "--json-mode"], "exclude each other"),
        (["--schema", '{"not": {}}'], 'Unimplemented keys: ["not"]'),
        (["--tool", "nonsense"], "--tool must be NAME=COMMAND"),
        (["--tool", "a=cat"], "Add --yes"),
        (["--save", "reply.pdf"], "--save writes .md, .html or .json"),
        (["--think-budget", "-3"], "think_budget must be 0 or more"),
    ],
)
def test_bad_flags_are_one_line(endless_model: Path, flags: list[str], expected: str) -> None:
    result = run(endless_model, *flags)
    assert result.exit_code == 2
    assert expected in result.stderr and result.stderr.count("\n") == 1
