"""Downloads by the real program and the real client, from a hub on the loopback interface."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer

from mlx_magistral.hub.resolve import nano_folder

REPOSITORY = "someone/nano"
# What the look at a weight file's header may take.
HEADER_BYTES = 100_000
WEIGHTS = nano_folder() / "consolidated.safetensors"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    folder = tmp_path / "repository"
    shutil.copytree(nano_folder(), folder)
    with HubServer({REPOSITORY: folder}) as server:
        yield server


def run(
    hub: HubServer, home: Path, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mlx_magistral", *arguments],
        env={
            **os.environ,
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(home),
            "NO_PROXY": "127.0.0.1,localhost",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def blobs(home: Path) -> Path:
    return home / "hub" / "models--someone--nano" / "blobs"


def test_pulled_model_is_whole_listed_shown_used_and_removed(
    hub: HubServer, tmp_path: Path
) -> None:
    pulled = run(hub, tmp_path, "pull", REPOSITORY, HF_TOKEN="hf_secret")
    assert pulled.returncode == 0, pulled.stderr
    folder = Path(pulled.stdout.strip())
    assert (folder / WEIGHTS.name).read_bytes() == WEIGHTS.read_bytes()
    assert "consolidated.safetensors: 2." in pulled.stderr
    assert not hub.leaked_token
    listed = json.loads(run(hub, tmp_path, "list", "--json").stdout)["models"]
    assert [each["name"] for each in listed if each["is_complete"]] == ["nano", REPOSITORY]
    assert run(hub, tmp_path, "use", REPOSITORY).returncode == 0
    assert f"* {WEIGHTS.stat().st_size / 1e9:9.3f}"[:3] in run(hub, tmp_path, "list").stdout
    assert json.loads(run(hub, tmp_path, "show", "--json").stdout)["name"] == REPOSITORY
    removed = run(hub, tmp_path, "rm", REPOSITORY, "--yes", "--json")
    freed = json.loads(removed.stdout)["freed_bytes"]
    assert freed >= WEIGHTS.stat().st_size
    assert not folder.exists()
    assert REPOSITORY not in run(hub, tmp_path, "list").stdout


def test_cut_connections_are_resumed_within_a_run(hub: HubServer, tmp_path: Path) -> None:
    hub.cuts = [1_000_000, 700_000]
    pulled = run(hub, tmp_path, "pull", REPOSITORY)
    assert pulled.returncode == 0, pulled.stderr
    assert (Path(pulled.stdout.strip()) / WEIGHTS.name).read_bytes() == WEIGHTS.read_bytes()
    assert "Error while" not in pulled.stderr


def test_what_an_earlier_run_left_is_not_fetched_again(hub: HubServer, tmp_path: Path) -> None:
    pulled = run(hub, tmp_path, "pull", REPOSITORY)
    (blob,) = [each for each in blobs(tmp_path).iterdir() if len(each.name) == 64]
    data = blob.read_bytes()
    blob.unlink()
    blob.with_name(f"{blob.name}.incomplete").write_bytes(data[:2_000_000])
    hub.bytes_by_range = 0
    again = run(hub, tmp_path, "pull", REPOSITORY)
    assert again.returncode == 0, again.stderr
    assert blob.read_bytes() == data
    assert Path(pulled.stdout.strip()).is_dir()
    # And the header, read again for the memory plan.
    assert len(data) - 2_000_000 <= hub.bytes_by_range < len(data) - 2_000_000 + 300_000


def test_damaged_download_is_refused_and_removed(hub: HubServer, tmp_path: Path) -> None:
    hub.damaged = True
    pulled = run(hub, tmp_path, "pull", REPOSITORY)
    assert pulled.returncode == 1
    assert "arrived damaged" in pulled.stderr and pulled.stderr.count("\n") == 1
    assert not [each for each in blobs(tmp_path).iterdir() if "incomplete" in each.name]


def test_busy_hub_says_when_to_come_back(hub: HubServer, tmp_path: Path) -> None:
    hub.refused[REPOSITORY] = (429, "")
    hub.retry_after = "77"
    pulled = run(hub, tmp_path, "pull", REPOSITORY)
    assert pulled.returncode == 1
    assert "in 77 s" in pulled.stderr and pulled.stderr.count("\n") == 1


def test_unreachable_hub_fails_at_once_with_one_line(tmp_path: Path) -> None:
    with HubServer({}) as gone:
        pass
    started = time.monotonic()
    for arguments in (["pull", REPOSITORY], ["fit", REPOSITORY], ["generate", "x", "-m", "a/b"]):
        result = run(gone, tmp_path, *arguments)
        assert result.returncode == 1
        assert "Check the network" in result.stderr and result.stderr.count("\n") == 1
    # The client alone would retry for 24 s, each.
    assert time.monotonic() - started < 20


def test_offline_mode_is_named(hub: HubServer, tmp_path: Path) -> None:
    pulled = run(hub, tmp_path, "pull", REPOSITORY, HF_HUB_OFFLINE="1")
    assert pulled.returncode == 1
    assert "HF_HUB_OFFLINE is set" in pulled.stderr
    assert hub.requests == []


@pytest.fixture
def conversion(hub: HubServer, tmp_path: Path) -> Path:
    """What others publish: a tokenizer.json, no tekken.json, and the base model on the card."""
    folder = tmp_path / "conversion"
    shutil.copytree(nano_folder(), folder)
    (folder / "tekken.json").unlink()
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text(f"---\nbase_model: {REPOSITORY}\n---\nConverted.\n")
    hub.repositories["other/conversion"] = folder
    return folder


def test_conversion_takes_its_base_models_tokenizer(
    hub: HubServer, tmp_path: Path, conversion: Path
) -> None:
    pulled = run(hub, tmp_path, "pull", "other/conversion")
    assert pulled.returncode == 0, pulled.stderr
    hub.requests.clear()
    question = ["generate", "What is 37 + 48?", "--temperature", "0", "-m", "other/conversion"]
    answer = run(hub, tmp_path, *question, HF_HUB_OFFLINE="1")
    assert "85" in answer.stdout, answer.stderr
    assert hub.requests == []


def test_conversion_that_names_no_base_asks_for_the_file(
    hub: HubServer, tmp_path: Path, conversion: Path
) -> None:
    (conversion / "README.md").write_text("Converted.\n")
    question = ["generate", "What is 37 + 48?", "--temperature", "0", "-m", str(conversion)]
    asked = run(hub, tmp_path, *question)
    assert asked.returncode == 1
    assert "--tokenizer tekken.json" in asked.stderr and asked.stderr.count("\n") == 1
    tekken = str(nano_folder() / "tekken.json")
    assert "85" in run(hub, tmp_path, *question, "--tokenizer", tekken).stdout


def test_no_room_on_disk_is_said_with_the_numbers_before_anything_moves(
    hub: HubServer, tmp_path: Path
) -> None:
    code = (
        "import shutil, collections, sys\n"
        "Usage = collections.namedtuple('Usage', 'total used free')\n"
        "shutil.disk_usage = lambda path: Usage(9, 9, 500_000_000)\n"
        "from mlx_magistral.cli.main import main\n"
        f"main(['pull', {REPOSITORY!r}])"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "0.50 GB free" in result.stderr and "--force" in result.stderr
    assert WEIGHTS.name not in hub.downloads() or hub.weight_bytes <= HEADER_BYTES
