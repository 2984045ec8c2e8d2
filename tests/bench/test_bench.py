"""mlx-magistral bench: what it measures, and against what."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pseudo_terminal import Terminal

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral import Magistral
from mlx_magistral.bench import apart
from mlx_magistral.bench.apart import Job, measure_apart
from mlx_magistral.bench.bandwidth import chip_bandwidth, machine_bandwidth
from mlx_magistral.bench.measure import Case
from mlx_magistral.bench.ours import Ours
from mlx_magistral.bench.peer import Peer
from mlx_magistral.cli.main import main
from mlx_magistral.errors import MagistralError, UsageError
from mlx_magistral.hub.resolve import nano_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("bench") / "nano-8"
    convert_checkpoint(open_source(nano_folder()), target, Recipe(8))
    return target


SHORT = ["--prompt-tokens", "40", "--tokens", "6", "--runs", "1"]


def test_json_has_every_case_and_the_ratio(folder: Path) -> None:
    cases = ["--kv-bits", "16", "--kv-bits", "8", "--speculate", "off", "--speculate", "2"]
    arguments = ["bench", "-m", str(folder), *SHORT, *cases, "--versus", "mlx-lm", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    ours = [case for case in report["cases"] if case["engine"] == "mlx-magistral"]
    assert {(case["kv_bits"], case["speculate"]) for case in ours} == {
        (16, "off"),
        (16, "2"),
        (8, "off"),
        (8, "2"),
    }
    assert all(case["prefill_tps"] > 0 and case["decode_tps"] > 0 for case in report["cases"])
    assert report["decode_ratio"]["40"] > 0
    assert all(case["tokens_per_pass"] == 1 for case in ours if case["speculate"] == "off")


def test_table(folder: Path) -> None:
    result = CliRunner().invoke(main, ["bench", "-m", str(folder), *SHORT])
    assert result.exit_code == 0, result.output
    assert "of limit" in result.stdout and "measured by a copy" in result.stdout
    assert "So a reply of 1,000 tokens to a prompt of " in result.stdout.splitlines()[-1]


def test_plot_in_a_terminal_of_80_columns(folder: Path, tmp_path: Path) -> None:
    bench = (sys.executable, "-m", "mlx_magistral", "bench")
    flags = ("-m", str(folder), *SHORT, "--versus", "mlx-lm")
    terminal = Terminal(tmp_path, *flags, program=bench)
    assert terminal.end() == 0
    bars = [line.count("█") for line in terminal.everything.splitlines() if "█" in line]
    assert len(bars) == 2 and max(bars) == 10
    assert "times mlx-lm's speed" in " ".join(terminal.everything.split())


def test_a_native_folder_is_nothing_for_mlx_lm() -> None:
    result = CliRunner().invoke(main, ["bench", "-m", "nano", *SHORT, "--versus", "mlx-lm"])
    assert result.exit_code == 2
    assert "convert" in result.stderr


def test_longer_than_the_context_is_refused() -> None:
    result = CliRunner().invoke(main, ["bench", "-m", "nano", "--prompt-tokens", "4000"])
    assert result.exit_code == 2
    assert "2,048" in result.stderr


def test_a_pass_reads_every_matrix_but_the_embedding() -> None:
    nano = Magistral.load("nano")
    bytes_per_pass = Ours(nano).bytes_per_pass
    size = nano.memory.plan.weight_bytes
    embedding = nano.config.vocab_size * nano.config.dim * 2
    assert bytes_per_pass(0, 16) == pytest.approx(size - embedding, rel=0.01)
    assert bytes_per_pass(512, 16) > bytes_per_pass(256, 8)


def test_both_engines_read_the_same_bytes(folder: Path) -> None:
    ours, theirs = Ours(Magistral.load(folder)), Peer(folder)
    assert ours.bytes_per_pass(300, 16) == theirs.bytes_per_pass(300, 16)


def test_engines_never_hold_a_model_each_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a process of its own, and the second begins when the first is gone."""
    alive: list[subprocess.Popen[str]] = []
    start = subprocess.Popen

    def start_alone(*arguments: Any, **options: Any) -> Any:
        assert all(process.poll() is not None for process in alive)
        alive.append(start(*arguments, **options))
        return alive[-1]

    monkeypatch.setattr(apart.subprocess, "Popen", start_alone)
    monkeypatch.setattr(Magistral, "load", None)
    arguments = ["bench", "-m", str(folder), *SHORT, "--versus", "mlx-lm", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert len(alive) == 2 and len(json.loads(result.stdout)["cases"]) == 2


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [("no-such-folder", MagistralError, "no-such-folder"), ("nano", UsageError, "config.json")],
)
def test_what_a_process_says_of_its_end_is_the_error(
    model: str, kind: type[MagistralError], message: str
) -> None:
    engine = "mlx-lm" if kind is UsageError else "mlx-magistral"
    model = str(nano_folder()) if model == "nano" else model
    job = Job(engine, model, None, [Case(8)], 2, 1, 1e9)
    with pytest.raises(kind, match=message) as caught:
        measure_apart(job, lambda case, run: None)
    assert type(caught.value) is kind


def test_a_process_that_is_killed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart.sys, "executable", "/bin/false")
    with pytest.raises(MagistralError, match="measures mlx-magistral ended with 1"):
        measure_apart(
            Job("mlx-magistral", "nano", None, [Case(8)], 2, 1, 1e9), lambda case, run: None
        )


@pytest.mark.parametrize(
    ("name", "expected"), [("Apple M4 Pro", 273.0), ("Apple M1", 68.25), ("Apple A18", None)]
)
def test_chips(name: str, expected: float | None) -> None:
    assert chip_bandwidth(name) == expected


def test_an_unknown_machine_is_measured() -> None:
    assert 1e8 < machine_bandwidth().bytes_per_s < 1e13
