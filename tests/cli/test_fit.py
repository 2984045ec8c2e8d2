"""``fit``: tables, JSON, and a hub model measured by its headers alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hub_server import HubServer
from model.builders import SMALL, random_weights, write_hf, write_native

from mlx_magistral.cli.main import main
from mlx_magistral.hub.resolve import nano_folder

REPOSITORY = "someone/model"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["fit", *arguments])


def test_magistral_on_a_32_gb_mac() -> None:
    result = run("--memory", "32GB", "--context", "8192", "--context", "40960")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("a Mac with 32 GB: 22.9 GB")
    assert any("13.26   40,960       16    6.71" in line and "fits" in line for line in lines)
    eight = [line for line in lines if line.startswith("8 bits")]
    assert len(eight) == 1 and "the weights alone do not fit" in eight[0]


def test_it_ends_in_one_recommendation_with_what_to_type() -> None:
    result = run("--memory", "16GB", "--chip", "M4")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= 16
    (recommended,) = [line for line in lines if line.startswith("Recommended: ")]
    assert "3.6 bits, 10.61 GB, with 8-bit KV" in recommended and "--context 18432" in recommended
    assert "At most 11 tokens a second: arithmetic" in result.stdout
    assert "  sudo sysctl iogpu.wired_limit_mb=12544" in lines
    assert "That leaves 4.0 GB for the system" in result.stdout
    assert lines[-1].endswith(
        "magistral-3.6bit --recipe calibrated --mix auto --bits-per-weight 3.6"
    )
    assert "None of these fits" in run("--memory", "8GB").stdout


def test_the_recommendation_is_in_the_json_too() -> None:
    found = json.loads(run("--memory", "64GB", "--json").stdout)["recommendation"]
    assert (found["weights"], found["kv_bits"], found["context_tokens"]) == ("8 bits", 16, 131072)
    assert found["wired_limit_mb"] is found["tokens_per_second_at_most"] is None
    assert json.loads(run("--memory", "8GB", "--json").stdout)["recommendation"] is None


def test_a_model_that_is_here_is_recommended_as_it_is() -> None:
    *_, recommended, _, command = run("nano").stdout.splitlines()
    assert recommended.startswith("Recommended: as stored, 0.00 GB, with 16-bit KV and up to 2,048")
    assert command == "  mlx-magistral chat -m nano"


def test_json_has_each_combination_in_bytes() -> None:
    result = run("--memory", "64", "--bits", "6", "--context", "1024", "--kv-bits", "8", "--json")
    found = json.loads(result.stdout)
    (plan,) = found["plans"]
    assert found["limit_bytes"] == 48 << 30 and found["backend"] == "Metal"
    assert plan["weight_bytes"] == 19_153_070_080
    assert (plan["kv_bits"], plan["context_tokens"], plan["fits"]) == (8, 1024, True)


def test_local_folder_is_measured_exactly() -> None:
    stored = json.loads(run("nano", "--json").stdout)["plans"][0]
    file = nano_folder() / "consolidated.safetensors"
    header = int.from_bytes(file.read_bytes()[:8], "little")
    assert stored["weight_bytes"] == file.stat().st_size - 8 - header


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--memory", "lots"], 2, "--memory is 'lots'"),
        (["--memory", "0"], 2, "--memory is '0'"),
        (["nano", "--context", "9999999"], 2, "context ends at"),
        (["./nowhere"], 1, "no folder ./nowhere"),
        (["--bits", "7"], 2, "'7' is not one of"),
        (["--chip", "M99"], 2, "--chip is 'M99', whose bandwidth is not known"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], code: int, expected: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert expected in result.stderr and result.stderr.count("\n") == 1


def fit_from_hub(hub: HubServer, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-m", "mlx_magistral", "fit", REPOSITORY, "--json"]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("is_native", [False, True])
def test_hub_model_is_measured_without_its_weights(tmp_path: Path, is_native: bool) -> None:
    weights = random_weights(SMALL)
    write = write_native if is_native else write_hf
    folder = write(tmp_path / "repository", SMALL, weights, shards=1 if is_native else 2)
    with HubServer({REPOSITORY: folder}) as hub:
        result = fit_from_hub(hub, tmp_path / "home")
        assert result.returncode == 0, result.stderr
        assert 0 < hub.bytes_by_range <= 2 * 100_001
    plan = json.loads(result.stdout)["plans"][0]
    assert plan["weight_bytes"] == sum(array.nbytes for array in weights.values())
    stored = list((tmp_path / "home").rglob("*.safetensors"))
    assert stored == []


def test_damaged_hub_file_is_one_clear_error(tmp_path: Path) -> None:
    folder = write_hf(tmp_path / "repository", SMALL)
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    with HubServer({REPOSITORY: folder}) as hub:
        result = fit_from_hub(hub, tmp_path / "home")
    assert result.returncode == 1
    assert (
        "is truncated or no safetensors file" in result.stderr and "Traceback" not in result.stderr
    )
