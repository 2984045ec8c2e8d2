"""What --json prints is JSON for every reader: no NaN, and one line."""

import json
from pathlib import Path

import click
from click.testing import CliRunner

from mlx_magistral.cli.layout import echo_json

COMMANDS = Path(__file__).parents[2] / "mlx_magistral" / "cli"


def printed(value: object) -> str:
    command = click.command()(lambda: echo_json(value))
    result = CliRunner().invoke(command)
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_numbers_that_are_none_are_null() -> None:
    value = {"a": float("nan"), "b": [1.5, float("inf")], "c": (float("-inf"), "é"), "d": 2}
    line = printed(value)
    assert line == '{"a": null, "b": [1.5, null], "c": [null, "é"], "d": 2}\n'


def test_a_name_that_is_no_utf_8_is_escaped() -> None:
    assert json.loads(printed({"folder": "a\udce9b"})) == {"folder": "a\udce9b"}


def test_every_command_prints_its_json_that_way() -> None:
    for path in COMMANDS.rglob("*.py"):
        assert "click.echo(json.dumps({" not in path.read_text("utf-8"), path
