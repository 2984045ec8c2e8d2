"""A download as a person sees it: the bar, a stop in the middle of a file, and what half of a
model is called afterwards by every command that meets it."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from cli.test_pull import run
from hub_server import COMMIT, HubServer
from pseudo_terminal import Terminal

from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.config_fields import read_json
from mlx_magistral.model.names import expected_shapes

NAME = "someone/large"
PROGRAM = (sys.executable, "-m", "mlx_magistral")
# The client writes to the disk, and tells its progress, once in so many bytes.
CHUNK = 10 * 1024 * 1024


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in HF format: two shards of 33 MB, under nano's tokenizer."""
    folder = tmp_path_factory.mktemp("large")
    params = read_json(nano_folder() / "params.json")
    params |= {"dim": 512, "n_layers": 4, "hidden_dim": 5120}
    config = ModelConfig.from_params(params, "params.json")
    (folder / "config.json").write_text(json.dumps({**config.to_hf(), "model_type": "mistral"}))
    for name in ("tekken.json", "SYSTEM_PROMPT.txt"):
        shutil.copy(nano_folder() / name, folder / name)
    mx.random.seed(0)
    names = list(expected_shapes(config).items())
    weights = {name: mx.random.normal(shape).astype(mx.bfloat16) for name, shape in names}
    places = {}
    for number in (1, 2):
        half = dict(list(weights.items())[number - 1 :: 2])
        file = f"model-0000{number}-of-00002.safetensors"
        mx.save_safetensors(str(folder / file), half)
        places |= dict.fromkeys(half, file)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def hub(repository: Path) -> Iterator[HubServer]:
    with HubServer({NAME: repository}) as server:
        yield server


def on_terminal(hub: HubServer, home: Path, *arguments: str, columns: int = 80) -> Terminal:
    return Terminal(
        home,
        *arguments,
        program=PROGRAM,
        columns=columns,
        HF_ENDPOINT=hub.endpoint,
        HF_HOME=str(home),
        NO_PROXY="127.0.0.1,localhost",
    )


def stop_half_way(hub: HubServer, home: Path, columns: int = 80) -> str:
    """Pull until the second shard hangs after two chunks, and press Ctrl-C; returns the screen."""
    hub.hold_after = 2 * CHUNK + 1_000_000
    terminal = on_terminal(hub, home, "pull", NAME, columns=columns)
    terminal.wait(
        lambda shown: re.search(r"21\.1/\d\d\.\d MB.*\d+:\d\d left$", shown, re.M) is not None
    )
    screen = terminal.shown
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "Stopped; what has arrived is kept." in terminal.everything.replace("\n", " ")
    hub.release.set()
    hub.hold_after = None
    return screen


@pytest.mark.parametrize("columns", [80, 40])
def test_the_bar_shows_bytes_rate_and_time_left_on_one_line(
    hub: HubServer, tmp_path: Path, columns: int
) -> None:
    screen = stop_half_way(hub, tmp_path, columns)
    (line,) = [each for each in screen.splitlines() if each.strip()]
    assert re.search(r"21\.1/\d\d\.\d MB +\d+\.\d [MG]B/s +\d+:\d\d left$", line), line
    assert ("━" in line) is (columns == 80)


def test_half_a_model_is_named_by_every_command_and_goes_on(
    hub: HubServer, tmp_path: Path, repository: Path
) -> None:
    stop_half_way(hub, tmp_path)
    listed = run(hub, tmp_path, "list").stdout
    assert re.search(rf"0\.021 GB  16-bit  {NAME}\n  incomplete; .*pull {NAME}\n", listed), listed
    (facts,) = [
        each
        for each in json.loads(run(hub, tmp_path, "list", "--json").stdout)["models"]
        if each["name"] == NAME
    ]
    assert not facts["is_complete"] and facts["bytes"] > 2 * CHUNK
    shown = run(hub, tmp_path, "show", NAME)
    assert shown.returncode == 1 and f"mlx-magistral pull {NAME}" in shown.stderr
    checked = run(hub, tmp_path, "doctor")
    assert re.search(rf"warn +{NAME}: here only in part.*\n.*pull {NAME}", checked.stdout)
    for command in (["generate", "x"], ["chat"], ["bench"], ["serve"]):
        refused = run(hub, tmp_path, *command, "-m", NAME, HF_HUB_OFFLINE="1")
        if command == ["serve"]:
            refused = run(hub, tmp_path, "serve", NAME, HF_HUB_OFFLINE="1")
        assert refused.returncode == 1, refused.stderr
        assert "only in part, and HF_HUB_OFFLINE is set" in refused.stderr
    hub.bytes_by_range = 0
    answer = run(hub, tmp_path, "generate", "x", "-m", NAME, "--max-tokens", "2")
    assert answer.returncode == 0, answer.stderr
    assert f"{NAME} is here in part; going on with the download." in answer.stderr
    left = (repository / "model-00001-of-00002.safetensors").stat().st_size - 2 * CHUNK
    assert left <= hub.bytes_by_range < left + 300_000
    assert f"{NAME}\n" in run(hub, tmp_path, "list").stdout
    assert "incomplete" not in run(hub, tmp_path, "list").stdout
    source = json.loads(run(hub, tmp_path, "show", NAME, "--json").stdout)["source"]
    assert source == {"repository": NAME, "commit": COMMIT}


def test_half_a_model_can_be_removed(hub: HubServer, tmp_path: Path) -> None:
    stop_half_way(hub, tmp_path)
    removed = run(hub, tmp_path, "rm", NAME, "--yes", "--json")
    assert json.loads(removed.stdout)["freed_bytes"] > 2 * CHUNK
    assert NAME not in run(hub, tmp_path, "list").stdout


def test_a_second_run_counts_what_is_here_and_not_in_its_rate(
    hub: HubServer, tmp_path: Path
) -> None:
    stop_half_way(hub, tmp_path)
    hub.release.clear()
    hub.hold_after = 1_000_000
    terminal = on_terminal(hub, tmp_path, "pull", NAME)
    terminal.wait(f"{NAME} is here in part; going on with the download.")
    terminal.wait("21.1/")
    assert re.search(r"21\.1/\d\d\.\d MB +\?", terminal.shown), terminal.shown
    terminal.kill()


def test_convert_from_the_hub_shows_the_download_and_records_the_source(
    hub: HubServer, tmp_path: Path
) -> None:
    output = tmp_path / "converted"
    converted = run(hub, tmp_path, "convert", NAME, str(output), "--bits", "8")
    assert converted.returncode == 0, converted.stderr
    assert "model-00001-of-00002.safetensors: " in converted.stderr
    source = json.loads((output / "conversion.json").read_text())["source"]
    assert (source["repository"], source["commit"]) == (NAME, COMMIT)
    assert f"base_model: {NAME}\n" in (output / "README.md").read_text()
    shown = run(hub, tmp_path, "show", str(output)).stdout
    assert re.search(rf"^source +repository {NAME}, commit {COMMIT}, kind HF$", shown, re.M), shown
    verified = run(hub, tmp_path, "verify", str(output), "--source", NAME)
    assert verified.returncode == 0, verified.stderr


def test_a_broken_index_is_no_complete_model(hub: HubServer, tmp_path: Path) -> None:
    folder = Path(run(hub, tmp_path, "pull", NAME, "-q").stdout.strip())
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "incomplete; " in run(hub, tmp_path, "list").stdout
    assert run(hub, tmp_path, "pull", NAME, "-q").stdout.strip() == str(folder)
    assert (folder / "model-00002-of-00002.safetensors").is_file()
