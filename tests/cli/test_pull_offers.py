"""``pull`` without a name: what the hub has, by the real client from a hub on the loopback."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pexpect
import pytest
from hub_server import HubServer

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import resolve_source
from mlx_magistral.hub.resolve import nano_folder

OLDER, NEWER = "mistralai/Magistral-Small-2507", "mistralai/Magistral-Small-2509"
MLX, GGUF = "mlx", "gguf"


@pytest.fixture(scope="module")
def four_bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nano in 4 bits, as others publish: no tekken.json, the base model on the card."""
    folder = tmp_path_factory.mktemp("conversions") / "four"
    convert_checkpoint(resolve_source("nano"), folder, Recipe(4, 64))
    (folder / "tekken.json").unlink()
    (folder / "README.md").write_text(f"---\nbase_model: {OLDER}\n---\n")
    return folder


@pytest.fixture
def hub(four_bits: Path, tmp_path: Path) -> Iterator[HubServer]:
    broken = tmp_path / "broken"
    shutil.copytree(four_bits, broken)
    (broken / "config.json").write_text('{"model_type": "qwen3"}')
    repositories = {
        OLDER: nano_folder(),
        "anna/old-four": four_bits,
        "bert/new": nano_folder(),
        "carl/new-liked": nano_folder(),
        "dora/broken": broken,
        "emil/gguf": four_bits,
    }
    with HubServer(repositories) as server:
        quantized = f"base_model:quantized:{OLDER}"
        server.listed = {
            "anna/old-four": ({MLX, f"base_model:{OLDER}", quantized}, 900),
            "bert/new": ({MLX, f"base_model:{NEWER}"}, 10),
            "carl/new-liked": ({MLX, f"base_model:{NEWER}"}, 1234),
            "dora/broken": ({MLX, f"base_model:{OLDER}"}, 5000),
            "emil/gguf": ({GGUF, f"base_model:{OLDER}"}, 9999),
        }
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


def test_offers_are_in_order_with_what_is_known_of_each(hub: HubServer, tmp_path: Path) -> None:
    found = json.loads(run(hub, tmp_path, "pull", "--json").stdout)
    # The newest base first, the most downloaded of each; other formats are not asked for.
    names = ["carl/new-liked", "bert/new", "anna/old-four"]
    assert [each["name"] for each in found["offers"]] == names
    offer = found["offers"][2]
    assert offer["made_by"] == "anna" and offer["downloads"] == 900
    assert offer["base_model"] == OLDER and offer["tokenizer"] == f"tekken.json of {OLDER}"
    assert found["offers"][0]["tokenizer"] == "tekken.json"
    assert offer["stored_as"].startswith("4 bits in groups of 64")
    assert offer["context_tokens"] == 2048  # nano's ceiling
    (passed_over,) = found["passed_over"]
    assert passed_over["name"] == "dora/broken" and "'qwen3'" in passed_over["reason"]
    assert set(found) == {"limit_bytes", "recommendation", "offers", "passed_over", "problem"}
    # Headers alone: no weight file and no tokenizer was fetched.
    assert hub.downloads() & {"tekken.json"} == set()
    assert hub.weight_bytes < 5 * 110_000


def test_a_pipe_gets_the_list_and_how_to_take_one(hub: HubServer, tmp_path: Path) -> None:
    shown = run(hub, tmp_path, "pull")
    lines = shown.stdout.splitlines()
    assert "  1  carl/new-liked" in lines and "  3  anna/old-four" in lines
    assert any(line.startswith("  4  Convert it yourself: 47 GB") for line in lines)
    assert "1 more is not offered; --verbose says why." in lines
    assert "mlx-magistral pull NAME, or --yes" in shown.stderr
    spoken = run(hub, tmp_path, "pull", "--verbose").stdout
    assert "Not offered: dora/broken: " in spoken and "'qwen3'" in spoken


def test_yes_takes_the_first_and_makes_it_the_default(hub: HubServer, tmp_path: Path) -> None:
    pulled = run(hub, tmp_path, "pull", "--yes")
    assert pulled.returncode == 0, pulled.stderr
    assert (Path(pulled.stdout.strip()) / "consolidated.safetensors").is_file()
    assert "carl/new-liked is the default model" in pulled.stderr
    answer = run(hub, tmp_path, "generate", "What is 37 + 48?", "--temperature", "0")
    assert "85" in answer.stdout and "nano" not in answer.stderr
    # A default that the user has is left alone.
    again = run(hub, tmp_path, "pull", "--yes", MLX_MAGISTRAL_MODEL="nano-of-mine")
    assert "chat -m carl/new-liked" in again.stderr


def test_without_the_hub_it_says_what_it_would_do(hub: HubServer, tmp_path: Path) -> None:
    hub.requests.clear()
    offline = run(hub, tmp_path, "pull", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0
    assert "HF_HUB_OFFLINE is set" in offline.stderr
    assert f"conversions of {NEWER} and {OLDER} that fit" in offline.stdout
    assert "  3.6 bits   10.61  " in offline.stdout
    assert hub.requests == []
    asked = run(hub, tmp_path, "pull", "--yes", HF_HUB_OFFLINE="1")
    assert asked.returncode == 1
    assert asked.stderr.splitlines()[-1].startswith("error: ") and asked.stdout == ""
    found = json.loads(run(hub, tmp_path, "pull", "--json", HF_HUB_OFFLINE="1").stdout)
    assert found["offers"] == [] and "HF_HUB_OFFLINE" in found["problem"]


# A 40 GB machine, in whose memory the real model's recommendation is found wherever this runs.
PULL = """
import sys
from mlx_magistral.memory import machine
machine._physical_bytes = lambda: 40 << 30
from mlx_magistral.cli.main import main
main(["pull"])
"""


def spawn(hub: HubServer, tmp_path: Path, **more: str) -> "pexpect.spawn[str]":
    return pexpect.spawn(
        sys.executable,
        ["-c", PULL],
        env=environment(hub, tmp_path, **more),
        cwd=tmp_path,
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 200),
    )


@pytest.mark.parametrize(
    ("keys", "name"), [("2\r", "bert/new"), ("\x1b[B\x1b[B\r", "anna/old-four")]
)
def test_a_number_or_an_arrow_chooses(hub: HubServer, tmp_path: Path, keys: str, name: str) -> None:
    child = spawn(hub, tmp_path, TERM="xterm-256color")
    child.expect("Arrow or number")
    child.expect("convert it yourself")
    child.send(keys)
    child.expect(f"{name} is the default model")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_terminal_without_cursor_takes_a_number(hub: HubServer, tmp_path: Path) -> None:
    child = spawn(hub, tmp_path, TERM="dumb")
    child.expect(r"Number, 1 to 4 \[1\]")
    child.sendline("4")
    # The last is to convert the original, with what is recommended for this memory.
    child.expect(f"mlx-magistral convert {OLDER} magistral-")
    child.expect("is the default model")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    (made,) = tmp_path.glob("magistral-*")
    assert (made / "conversion.json").is_file() and mx.load(str(next(made.glob("*.safetensors"))))


def test_ctrl_c_at_the_choice_fetches_nothing(hub: HubServer, tmp_path: Path) -> None:
    child = spawn(hub, tmp_path, TERM="xterm-256color")
    child.expect("convert it yourself")
    hub.requests.clear()
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert hub.requests == []
