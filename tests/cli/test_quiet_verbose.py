"""--quiet and --verbose mean the same in every long command; nothing of either is on stdout."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlx_magistral.cli.main import main
from mlx_magistral.hub.resolve import nano_folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("quiet") / "out"
    assert run("convert", "nano", output, "--bits", "8", "-q").exit_code == 0
    return output


def commands(converted: Path, other: Path) -> dict[str, list[object]]:
    data = other.with_name("ids.jsonl")
    data.write_text(json.dumps({"tokens": list(range(40, 80))}))
    return {
        "convert": ["convert", "nano", other, "--bits", "8"],
        "verify": ["verify", converted, "--source", "nano"],
        "compare": ["compare", "nano", converted, "--data", data],
        "bench": ["bench", "-m", "nano", "--prompt-tokens", 9, "--tokens", 3, "--runs", 1],
        "pull": ["pull", "nano"],
    }


NAMES = ["convert", "verify", "compare", "bench", "pull"]
# A line that tells of one step, where there is more than one.
STEPS = {
    "convert": "model.layers.0.mlp.up_proj.weight",
    "verify": "model.layers.1.self_attn.q_proj.weight",
    "compare": "layer 3",
    "bench": "2 of 2 runs: 9 tokens, prefill ",
}


@pytest.mark.parametrize("name", NAMES)
def test_quiet_leaves_the_result_alone(name: str, converted: Path, tmp_path: Path) -> None:
    result = run(*commands(converted, tmp_path / "new")[name], "--quiet")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    paths = {"convert": f"{tmp_path / 'new'}\n", "pull": f"{nano_folder()}\n", "verify": ""}
    assert result.stdout == paths.get(name, result.stdout)
    assert bool(result.stdout) is (name != "verify")


@pytest.mark.parametrize("name", list(STEPS))
def test_verbose_tells_each_step_once(name: str, converted: Path, tmp_path: Path) -> None:
    command = commands(converted, tmp_path / "new")[name]
    result = run(*command, "-v")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith(STEPS[name])]
    assert len(lines) == 1
    assert STEPS[name] not in result.stdout


@pytest.mark.parametrize("name", NAMES)
def test_both_at_once_are_refused(name: str, converted: Path, tmp_path: Path) -> None:
    result = run(*commands(converted, tmp_path / "new")[name], "-q", "-v")
    assert result.exit_code == 2
    assert "--quiet and --verbose exclude each other" in result.stderr


def test_json_is_as_quiet(converted: Path, tmp_path: Path) -> None:
    for name in ("verify", "compare", "bench"):
        result = run(*commands(converted, tmp_path / "new")[name], "--json")
        assert result.stderr == "" and json.loads(result.stdout)


def test_quiet_still_says_what_is_wrong(converted: Path, tmp_path: Path) -> None:
    spoiled = shutil.copytree(converted, tmp_path / "spoiled")
    (spoiled / "SYSTEM_PROMPT.txt").write_text("other")
    result = run("verify", spoiled, "-q")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "SYSTEM_PROMPT.txt: differs from what was written\n"
