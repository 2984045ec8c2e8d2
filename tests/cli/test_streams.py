"""Standard streams that a shell left closed, or sent to a full disk: one line, and no traceback."""

import subprocess
import sys

import pytest

PROGRAM = f"{sys.executable} -m mlx_magistral"
QUESTION = "generate 'What is 37 + 48?' -m nano --temperature 0 --no-reuse-prefixes"


def shell(command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["sh", "-c", f"{PROGRAM} {command}"], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("command", "stdout", "problem"),
    [
        ("list", ">/dev/full", "No space left on device"),
        ("list", ">&-", "Bad file descriptor"),
        (QUESTION, ">/dev/full", "No space left on device"),
    ],
)
def test_stdout_that_takes_nothing(command: str, stdout: str, problem: str) -> None:
    result = shell(f"{command} {stdout}")
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: stdout cannot be written: {problem}.")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("closed", ["<&-", "<&- 2>&-"])
def test_the_answer_comes_without_stdin_or_stderr(closed: str) -> None:
    """A file opened later would get the number of a closed stream."""
    result = shell(f"{QUESTION} {closed}")
    assert result.returncode == 0, result.stderr
    assert "85" in result.stdout and "Traceback" not in result.stderr


def test_chat_without_stdin_ends() -> None:
    result = shell("chat -m nano --no-log <&-")
    assert result.returncode == 0 and "Traceback" not in result.stderr
