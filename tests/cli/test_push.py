"""Uploads by the real program and the real client to the loopback hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.test_pull import run
from hub_server import HubServer

UPLOADING = {"HF_TOKEN": "hf_secret", "HF_HUB_DISABLE_XET": "1"}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer({"me/magistral": Path("nowhere")}) as server:
        yield server


@pytest.fixture
def folder(hub: HubServer, tmp_path: Path) -> Path:
    folder = tmp_path / "magistral-4bit"
    made = run(hub, tmp_path, "convert", "nano", str(folder))
    assert made.returncode == 0, made.stderr
    (folder / "diary.txt").write_text("mine")
    return folder


def test_all_of_the_conversion_and_nothing_else_arrives(
    hub: HubServer, tmp_path: Path, folder: Path
) -> None:
    pushed = run(hub, tmp_path, "push", str(folder), "me/magistral", "--private", **UPLOADING)
    assert pushed.returncode == 0, pushed.stderr
    (created,) = hub.uploads.created
    assert created["visibility"] == "private"
    names = {path.name for path in folder.iterdir()} - {"diary.txt"}
    assert hub.uploads.files == {name: (folder / name).read_bytes() for name in names}
    # And the conversion is known to list.
    assert folder.name in run(hub, tmp_path, "list").stdout


def test_damaged_folder_is_not_uploaded(hub: HubServer, tmp_path: Path, folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    pushed = run(hub, tmp_path, "push", str(folder), "me/magistral", **UPLOADING)
    assert pushed.returncode == 1
    assert "config.json differs" in pushed.stderr
    assert not [line for line in hub.requests if line.startswith("POST")]


def test_without_access_it_says_to_log_in(hub: HubServer, tmp_path: Path, folder: Path) -> None:
    hub.refused["me/magistral"] = (401, "")
    pushed = run(hub, tmp_path, "push", str(folder), "me/magistral", **UPLOADING)
    assert pushed.returncode == 1
    assert "hf auth login" in pushed.stderr and "Traceback" not in pushed.stderr
