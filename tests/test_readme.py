"""Every command and example of the README runs, with nano standing in for the real checkpoint."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_magistral.hub import nano_folder

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


SHELL = [block for block in blocks("sh") if "mlx-magistral" in block]
SCRIPTS = sorted(set(re.findall(r"scripts/[\w.]+", README)))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder to work in, where the published model's name leads to nano."""
    shutil.copytree(nano_folder(), tmp_path / "mistralai" / "Magistral-Small-2507")
    (tmp_path / "notes.txt").write_text("What is 2 + 3?")
    programs = tmp_path / "programs"
    programs.mkdir()
    # What the README pipes in comes from git, and there is no repository here.
    (programs / "git").write_text("#!/bin/sh\necho 'What is 2 + 3?'\n")
    (programs / "git").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.split("\n")[0][:50])
def test_shell_block_runs(home: Path, block: str) -> None:
    path = f"{home / 'programs'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        ["sh", "-e", "-c", block],
        cwd=home,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


def test_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "The sum is $\\boxed{85}$." in printed
    assert printed.rstrip().split("\n")[-1].startswith("Finished(")


def test_transcript_is_what_the_command_prints() -> None:
    (transcript,) = blocks("text")
    command, _, printed = transcript.partition("\n")
    assert command == '$ scripts/run "What is 37 + 48?"'
    result = subprocess.run(
        [sys.executable, "-m", "mlx_magistral", "generate", "What is 37 + 48?"]
        + ["--temperature", "0"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "MLX_MAGISTRAL_MODEL"},
    )
    without_stats = re.sub(r"\nprefill .*\n$", "\n", printed)
    assert without_stats.split() == result.stdout.split()


@pytest.mark.parametrize("name", SCRIPTS)
def test_named_script_is_there_and_runs_by_name(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
