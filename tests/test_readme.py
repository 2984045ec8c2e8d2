"""Every command of the README and docs/ runs, with nano standing in for the real checkpoint."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_magistral.hub.resolve import nano_folder

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str, document: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document, re.DOTALL)


SHELL = [block for block in blocks("sh") if "mlx-magistral" in block]
SCRIPTS = sorted(set(re.findall(r"scripts/[\w.]+", README)))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder to work in, where the published model's name leads to nano."""
    published = tmp_path / "mistralai" / "Magistral-Small-2507"
    shutil.copytree(nano_folder(), published)
    # The pages ask for the published model's context.
    params = json.loads((published / "params.json").read_text())
    (published / "params.json").write_text(
        json.dumps({**params, "max_position_embeddings": 131072})
    )
    (tmp_path / "notes.txt").write_text("What is 2 + 3?")
    shutil.copytree(nano_folder(), tmp_path / "converted" / "magistral-4bit")
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"What is {n} + {n}?"},
                {"role": "assistant", "reasoning": f"{n}+{n}={n + n}", "content": str(n + n)},
            ]
        }
        for n in range(9)
    ]
    (tmp_path / "chats.jsonl").write_text("\n".join(map(json.dumps, chats)))
    requests = [{"messages": [{"role": "user", "content": f"{n} + 1?"}]} for n in range(3)]
    (tmp_path / "requests.jsonl").write_text("\n".join(map(json.dumps, requests)))
    traces = [{"messages": [{"role": "user", "content": f"What is {n} + {n}?"}]} for n in range(9)]
    (tmp_path / "traces.jsonl").write_text("\n".join(map(json.dumps, traces)))
    problems = [{"problem": f"What is {n} + {n}?", "answer": n + n} for n in range(9)]
    (tmp_path / "problems.jsonl").write_text("\n".join(map(json.dumps, problems)))
    programs = tmp_path / "programs"
    programs.mkdir()
    # What the README pipes in comes from git, and there is no repository here.
    (programs / "git").write_text("#!/bin/sh\necho 'What is 2 + 3?'\n")
    (programs / "git").chmod(0o755)
    return tmp_path


def run_in(home: Path, commands: str) -> None:
    path = f"{home / 'programs'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        ["sh", "-e", "-c", commands],
        cwd=home,
        env={
            **os.environ,
            "PATH": path,
            "XDG_CACHE_HOME": str(home / "cache"),
            "HF_HOME": str(home / "hub"),
            # Tests need no network: pull then says what it would do.
            "HF_HUB_OFFLINE": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.split("\n")[0][:50])
def test_shell_block_runs(home: Path, block: str) -> None:
    run_in(home, block)


# Those that begin with a converted folder, and those that make one.
LATER_PAGES = ["converting.md", "memory.md", "training.md"]
PAGES = [
    *LATER_PAGES,
    "quickstart.md",
    "choosing.md",
    "batches.md",
    "evaluating.md",
    "troubleshooting.md",
    "performance.md",
    "several-macs.md",
]


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_a_page_run_in_order(home: Path, name: str) -> None:
    if name in LATER_PAGES:
        shutil.copytree(home / "converted", home, dirs_exist_ok=True)
    commands = blocks("sh", (ROOT / "docs" / name).read_text("utf-8"))
    run_in(home, "\n".join(commands))


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
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
