"""The command group: help, and every error as one line with its exit code."""

import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mlx_magistral import __version__
from mlx_magistral.cli.main import COMMANDS, main


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_help_lists_every_command() -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name, help_line in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(help_line)}$", out, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example(name: str) -> None:
    code, out, _ = run(name, "--help")
    assert code == 0
    assert f"mlx-magistral {name}" in out


def test_version() -> None:
    assert run("--version")[1] == f"mlx-magistral, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "x"], "There is no command 'run'. Did you mean 'generate'?"),
        (["gen", "x?"], "There is no command 'gen'. Did you mean 'generate'?"),
        (["What is 37 + 48?"], 'To ask that: mlx-magistral generate "What is 37 + 48?"'),
        (["What", "is", "37?"], 'To ask that: mlx-magistral generate "What is 37?"'),
        (["It costs $5."], "To ask that: mlx-magistral generate 'It costs $5.'"),
        (
            ["generate", "What", "is", "37 + 48?", "--seed", "1"],
            'The prompt is one argument. Quote it: mlx-magistral generate "What is 37 + 48?"',
        ),
        (["genrate", "x"], "There is no command 'genrate'. Did you mean 'generate'?"),
        (["generate", "x", "--tempreture", "1"], "Did you mean '--temperature'?"),
        (["generate", "x", "--temperature", "warm"], "'warm' is not a valid float"),
        (["generate", "x", "--think", "loud"], "'full', 'short', 'hide'"),
        (["generate", "x", "-f", "no-such-file"], "no-such-file"),
        (
            ["convert", "nano", "out", "--bits", "7"],
            "'7' is not one of '3', '4', '5', '6', '8', '16'",
        ),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(arguments: list[str], expected: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert expected in err
    assert err.startswith("error: ") and err.count("\n") == 1


def test_module_and_console_script_are_the_same_program() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mlx_magistral", "--version"], capture_output=True, text=True
    )
    assert result.stdout == f"mlx-magistral, version {__version__}\n"
