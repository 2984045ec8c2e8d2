"""What cannot be run is refused by every command before a weight is fetched; what can, is not.

By the real program and the real client, from a hub on the loopback interface.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hub_server import HubServer
from model.builders import edit_json, random_weights, write_hf

from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.config_fields import read_json

NAME = "someone/model"
# Large enough that a fetched weight would show beside the headers.
CONFIG = replace(
    ModelConfig.from_params(read_json(nano_folder() / "params.json"), "params.json"), n_layers=3
)
HEADER_BYTES = 100_000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in two shards under nano's tokenizer."""
    folder = tmp_path_factory.mktemp("sound")
    write_hf(folder, CONFIG, random_weights(CONFIG, mx.float32), shards=2)
    shutil.copy(nano_folder() / "tekken.json", folder)
    return folder


@pytest.fixture
def hub(sound: Path, tmp_path: Path) -> Iterator[HubServer]:
    folder = tmp_path / "repository"
    shutil.copytree(sound, folder)
    with HubServer({NAME: folder}) as server:
        yield server


def environment(hub: HubServer, home: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "NO_PROXY": "127.0.0.1,localhost",
        **more,
    }


def run(
    hub: HubServer, home: Path, *arguments: str, **more: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mlx_magistral", *arguments],
        env=environment(hub, home, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


# Every command that takes a model, for many models in one process, which takes longest to start.
EVERY_COMMAND = """
import io, json, sys
from contextlib import redirect_stderr
from mlx_magistral.cli.main import main
rows, output = [], sys.argv[1]
for name in sys.argv[2:]:
    for arguments in [
        ["pull", name], ["pull", name, "--force"], ["convert", name, output], ["fit", name],
        ["generate", "x", "-m", name], ["serve", name, "--port", "0"], ["bench", "-m", name],
        ["compare", name, "nano"],
    ]:
        said = io.StringIO()
        with redirect_stderr(said):
            try:
                main(arguments)
            except SystemExit as ended:
                rows.append([name, arguments[0], ended.code, said.getvalue()])
print(json.dumps(rows))
"""


def no_large_byte_was_fetched(hub: HubServer, looks: int) -> bool:
    """Headers alone: at most so many looks at the two shards' beginnings."""
    return hub.weight_bytes <= looks * 2 * HEADER_BYTES


def set_version(folder: Path, version: str) -> None:
    content = read_json(folder / "tekken.json")
    content["config"]["version"] = version
    (folder / "tekken.json").write_text(json.dumps(content))


def shorten_vocabulary(folder: Path) -> None:
    content = read_json(folder / "tekken.json")
    content["config"]["default_vocab_size"] -= 1
    (folder / "tekken.json").write_text(json.dumps(content))


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "config.json", **changes)


def pack_a_matrix(folder: Path) -> None:
    """As bitsandbytes stores 4 bits."""
    file = str(folder / "model-00001-of-00002.safetensors")
    weights = dict(mx.load(file))
    name = next(name for name in weights if "mlp" in name)
    weights[name] = mx.zeros((weights[name].size // 2, 1), mx.uint8)
    mx.eval(weights)
    mx.save_safetensors(file, weights)
    edit_json(folder / "config.json", quantization_config={"quant_method": "bitsandbytes"})


REFUSALS = {
    "another architecture": (config(model_type="qwen2"), "model_type is 'qwen2'"),
    "yarn": (
        config(rope_parameters={"rope_type": "yarn", "rope_theta": 1e6}),
        "rope_type is 'yarn'",
    ),
    "bitsandbytes": (pack_a_matrix, "is of 'bitsandbytes', not of MLX"),
    "mxfp4": (
        config(quantization={"group_size": 32, "bits": 4, "mode": "mxfp4"}, hidden_size=8),
        "mode is 'mxfp4'",
    ),
    "another vocabulary": (shorten_vocabulary, "has 1,023 tokens and the weights 1,024"),
    "tokenizer v11": (lambda folder: set_version(folder, "v11"), "is a v11 tokenizer"),
    "weights of another shape": (config(intermediate_size=96), "instead of"),
}


def test_what_is_not_run_is_refused_by_every_command_from_headers(
    hub: HubServer, tmp_path: Path, sound: Path
) -> None:
    for number, (change, _) in enumerate(REFUSALS.values()):
        folder = tmp_path / str(number)
        shutil.copytree(sound, folder)
        change(folder)
        hub.repositories[f"someone/case-{number}"] = folder
    names = [f"someone/case-{number}" for number in range(len(REFUSALS))]
    result = subprocess.run(
        [sys.executable, "-c", EVERY_COMMAND, str(tmp_path / "out"), *names],
        env=environment(hub, tmp_path / "home"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout.splitlines()[-1])
    assert len(rows) == 8 * len(REFUSALS)
    expected = dict(zip(names, (named for _, named in REFUSALS.values()), strict=True))
    for name, command, code, said in rows:
        assert code == 1 and expected[name] in said, (name, command, code, said)
    assert no_large_byte_was_fetched(hub, len(rows))
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()
    # What was refused is no half of a model that one would go on with.
    assert "someone/" not in run(hub, tmp_path / "home", "list").stdout


@pytest.mark.parametrize("output", ["taken", ".", "gone"])
def test_convert_looks_at_its_output_before_it_asks_the_hub(
    hub: HubServer, tmp_path: Path, output: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere" / "at-all")
    place = output if output == "." else str(tmp_path / output)
    result = run(hub, tmp_path, "convert", NAME, place)
    assert result.returncode in (1, 2) and result.stderr.count("\n") == 1, result.stderr
    assert hub.requests == []


@pytest.mark.parametrize(
    ("option", "named"),
    [("--tokenizer", "is a v11 tokenizer"), ("--calibration", "holds token 999999")],
)
def test_convert_refuses_what_it_was_given_before_it_downloads(
    hub: HubServer, tmp_path: Path, option: str, named: str
) -> None:
    shutil.copy(nano_folder() / "tekken.json", tmp_path / "tekken.json")
    set_version(tmp_path, "v11")
    (tmp_path / "ids.jsonl").write_text(json.dumps({"tokens": [1, 999999] * 512}))
    given = tmp_path / ("tekken.json" if option == "--tokenizer" else "ids.jsonl")
    options = ["--recipe", "search", option, str(given)]
    result = run(hub, tmp_path, "convert", NAME, str(tmp_path / "out"), *options)
    assert result.returncode == 1 and named in result.stderr, result.stderr
    assert no_large_byte_was_fetched(hub, 1)


def test_a_model_without_a_tokenizer_is_pulled_with_a_line_and_not_run(
    hub: HubServer, tmp_path: Path
) -> None:
    (hub.repositories[NAME] / "tekken.json").unlink()
    refused = run(hub, tmp_path, "generate", "x", "-m", NAME)
    assert refused.returncode == 1 and "--tokenizer tekken.json" in refused.stderr
    assert no_large_byte_was_fetched(hub, 1)
    pulled = run(hub, tmp_path, "pull", NAME)
    assert pulled.returncode == 0 and "--tokenizer tekken.json" in pulled.stderr


def test_what_is_sound_is_fetched_once_and_runs(hub: HubServer, tmp_path: Path) -> None:
    answer = run(hub, tmp_path, "generate", "x", "-m", NAME, "--max-tokens", "2")
    assert answer.returncode == 0, answer.stderr
    size = sum(file.stat().st_size for file in hub.repositories[NAME].glob("*.safetensors"))
    assert size <= hub.weight_bytes <= size + 2 * HEADER_BYTES


def test_from_python_a_model_is_refused_before_it_is_fetched(
    hub: HubServer, tmp_path: Path
) -> None:
    set_version(hub.repositories[NAME], "v11")
    code = f"from mlx_magistral import Magistral; Magistral.load({NAME!r})"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(hub, tmp_path),
        capture_output=True,
        text=True,
    )
    assert "TokenizerError" in result.stderr and no_large_byte_was_fetched(hub, 1)


def test_of_two_formats_the_one_that_can_be_read_is_fetched(hub: HubServer, tmp_path: Path) -> None:
    """HF weights in 8-bit floats beside native ones in bfloat16."""
    repository = hub.repositories[NAME]
    for name in ("consolidated.safetensors", "params.json"):
        shutil.copy(nano_folder() / name, repository)
    edit_json(repository / "config.json", model_type="qwen2")
    pulled = run(hub, tmp_path, "pull", NAME)
    assert pulled.returncode == 0, pulled.stderr
    names = {path.name for path in Path(pulled.stdout.strip()).glob("*.safetensors")}
    assert names == {"consolidated.safetensors"}
    assert run(hub, tmp_path, "show", NAME).returncode == 0
