"""The workflow that a first push runs: only commands that are there, on every system named."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from mlx_magistral.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
(JOB,) = WORKFLOW["jobs"].values()
RUNS = [step["run"] for step in JOB["steps"] if "run" in step]


def test_linux_and_apple_silicon_with_the_oldest_python_and_a_late_one() -> None:
    matrix = JOB["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-15"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest = re.search(r"3\.\d+", project["requires-python"])
    assert oldest is not None and matrix["python"] == [oldest[0], "3.14"]
    assert JOB["runs-on"] == "${{ matrix.os }}"


def test_it_runs_on_a_push_and_every_week() -> None:
    triggers = WORKFLOW[True]  # YAML 1.1 reads the key "on" as true
    assert {"push", "pull_request", "schedule"} <= triggers.keys()
    minute, hour, day, month, weekday = triggers["schedule"][0]["cron"].split()
    assert (day, month) == ("*", "*") and weekday.isdigit()


def test_its_commands_exist() -> None:
    assert {"scripts/lint", "scripts/test"} <= set(RUNS)
    for run in RUNS:
        for script in re.findall(r"scripts/\w+", run):
            assert os.access(ROOT / script, os.X_OK), script
        for command in re.findall(r"mlx-magistral (\w+)", run):
            assert command in COMMANDS
    assert any("mlx-magistral selftest" in run for run in RUNS)
