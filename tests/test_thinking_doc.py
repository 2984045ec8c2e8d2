"""Every command and example of docs/thinking.md runs, with nano."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "thinking.md").read_text("utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[22:70])
def test_command_runs(tmp_path: Path, command: str) -> None:
    program = tmp_path / "bin" / "mlx-magistral"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mlx_magistral "$@"\n')
    program.chmod(0o755)
    (tmp_path / "work").mkdir()
    path = f"{program.parent}:{os.environ['PATH']}"
    result = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path / "work",
        env={**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT}:{ROOT / 'convert'}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    if "--save" in command:
        assert list((tmp_path / "work").iterdir())


def test_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    exec(compile(example, "thinking.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert "1817517" in printed[0]
    assert re.match(r"\{'sum': 8[45]\} stop", printed[1])
    assert printed[2] == "Finished"
