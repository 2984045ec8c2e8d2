"""What is in the cache is as published, or fetched again: no more than is wrong, and once."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest
from hub_server import COMMIT, HubServer
from model.builders import random_weights, write_hf

from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.config_fields import read_json

NAME = "someone/model"
CONFIG = replace(
    ModelConfig.from_params(read_json(nano_folder() / "params.json"), "params.json"), n_layers=3
)
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
HEADER_BYTES = 100_000
LINKLESS = {"HF_HUB_DISABLE_SYMLINKS": "1"}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    write_hf(folder, CONFIG, random_weights(CONFIG, mx.float32), shards=2)
    shutil.copy(nano_folder() / "tekken.json", folder)
    return folder


@pytest.fixture
def hub(published: Path) -> Iterator[HubServer]:
    with HubServer({NAME: published}) as server:
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


def pull(hub: HubServer, home: Path, *options: str, **environment: str) -> str:
    """Pull anew, counting what is sent; returns what is said on stderr."""
    hub.requests.clear()
    hub.weight_bytes = 0
    pulled = run(hub, home, "pull", NAME, *options, **environment)
    assert pulled.returncode == 0, pulled.stderr
    return pulled.stderr


def pulled_home(published: Path, home: Path, **environment: str) -> Path:
    with HubServer({NAME: published}) as server:
        pull(server, home, **environment)
    return home


@pytest.fixture(scope="module")
def with_links(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the model."""
    return pulled_home(published, tmp_path_factory.mktemp("links"))


@pytest.fixture(scope="module")
def without_links(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same where there are no links, as on exFAT."""
    return pulled_home(published, tmp_path_factory.mktemp("linkless"), **LINKLESS)


@pytest.fixture
def home(with_links: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(with_links, tmp_path / "home", symlinks=True))


@pytest.fixture
def linkless_home(without_links: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(without_links, tmp_path / "home", symlinks=True))


def snapshot(home: Path) -> Path:
    return home / "hub" / "models--someone--model" / "snapshots" / COMMIT


def same_as(published: Path, home: Path) -> bool:
    return all(
        (snapshot(home) / name).read_bytes() == (published / name).read_bytes()
        for name in (*SHARDS, "config.json", "tekken.json")
    )


def change(path: Path, at: int) -> None:
    """Another byte, in a file of the same size."""
    with path.resolve().open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def disk_bytes(home: Path) -> int:
    files = [path for path in (home / "hub").rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_size for path in files)


class TestPull:
    def test_of_a_cut_blob_fetches_what_is_missing_of_it(
        self, hub: HubServer, home: Path, published: Path
    ) -> None:
        size = (published / SHARDS[0]).stat().st_size
        os.truncate(snapshot(home) / SHARDS[0], size - 50_000)
        assert f"Not as published, and fetched again: {SHARDS[0]}" in pull(hub, home)
        assert hub.weight_bytes == 50_000
        assert same_as(published, home)

    def test_of_a_cut_and_damaged_blob_fetches_it_from_the_start(
        self, hub: HubServer, home: Path, published: Path
    ) -> None:
        size = (published / SHARDS[0]).stat().st_size
        change(snapshot(home) / SHARDS[0], size // 2)
        os.truncate(snapshot(home) / SHARDS[0], size - 50_000)
        pull(hub, home)
        assert hub.weight_bytes == 50_000 + size
        assert same_as(published, home)

    def test_of_a_damaged_blob_fetches_it_when_asked_to_verify(
        self, hub: HubServer, home: Path, published: Path
    ) -> None:
        change(snapshot(home) / SHARDS[1], -100 + (published / SHARDS[1]).stat().st_size)
        pull(hub, home)
        assert hub.requests == [] and not same_as(published, home)
        said = pull(hub, home, "--verify")
        assert f"fetched again: {SHARDS[1]}\n" in said and SHARDS[0] not in said
        assert hub.weight_bytes == (published / SHARDS[1]).stat().st_size
        assert same_as(published, home)
        pull(hub, home, "--verify")
        assert hub.requests == []

    def test_after_a_failed_load_looks_at_every_byte(
        self, hub: HubServer, home: Path, published: Path
    ) -> None:
        change(snapshot(home) / SHARDS[0], 20)  # in the header, which then is refused
        failed = run(hub, home, "show", NAME)
        assert failed.returncode == 1 and f"mlx-magistral pull {NAME}" in failed.stderr
        pull(hub, home)
        assert same_as(published, home)
        assert run(hub, home, "show", NAME).returncode == 0

    @pytest.mark.parametrize("name", ["config.json", "tekken.json"])
    def test_of_a_damaged_small_file_fetches_that_alone(
        self, hub: HubServer, home: Path, published: Path, name: str
    ) -> None:
        change(snapshot(home) / name, 5)
        pull(hub, home)
        assert hub.downloads() == {name} and hub.weight_bytes == 0
        assert same_as(published, home)

    def test_of_a_missing_blob_fetches_that_alone(
        self, hub: HubServer, home: Path, published: Path
    ) -> None:
        (snapshot(home) / SHARDS[0]).resolve().unlink()
        pull(hub, home)
        # And a look at the headers.
        size = (published / SHARDS[0]).stat().st_size
        assert size <= hub.weight_bytes <= size + 2 * HEADER_BYTES
        assert same_as(published, home)

    def test_of_what_is_whole_asks_the_network_nothing(self, hub: HubServer, home: Path) -> None:
        assert pull(hub, home) == "" and hub.requests == []


@pytest.mark.parametrize("environment", [{}, LINKLESS], ids=["links", "no links"])
def test_a_large_tokenizer_is_fetched_once_and_mended(
    hub: HubServer, tmp_path: Path, published: Path, environment: dict[str, str]
) -> None:
    hub.also_large.add("tekken.json")
    pull(hub, tmp_path, **environment)
    assert hub.requests.count(f"GET /cdn/{published.name}/tekken.json") == 1
    change(snapshot(tmp_path) / "tekken.json", 5)
    pull(hub, tmp_path, "--verify", **environment)
    assert hub.requests.count(f"GET /cdn/{published.name}/tekken.json") == 1
    assert same_as(published, tmp_path)


class TestWithoutLinks:
    """HF_HUB_DISABLE_SYMLINKS, as on exFAT."""

    def test_everything_is_on_the_disk_once(
        self, hub: HubServer, linkless_home: Path, published: Path
    ) -> None:
        assert same_as(published, linkless_home)
        size = sum(path.stat().st_size for path in published.iterdir())
        assert disk_bytes(linkless_home) <= size + 20_000  # locks and the listing
        assert json.loads(run(hub, linkless_home, "show", NAME, "--json").stdout)["name"] == NAME
        pull(hub, linkless_home, **LINKLESS)
        assert hub.requests == []

    def test_a_missing_shard_is_fetched_alone(
        self, hub: HubServer, linkless_home: Path, published: Path
    ) -> None:
        (snapshot(linkless_home) / SHARDS[1]).unlink()
        pull(hub, linkless_home, **LINKLESS)
        size = (published / SHARDS[1]).stat().st_size
        assert size <= hub.weight_bytes <= size + 2 * HEADER_BYTES
        assert same_as(published, linkless_home)

    def test_a_damaged_shard_is_found_by_the_hubs_listing(
        self, hub: HubServer, linkless_home: Path, published: Path
    ) -> None:
        size = (published / SHARDS[1]).stat().st_size
        change(snapshot(linkless_home) / SHARDS[1], size - 100)
        pull(hub, linkless_home, "--verify", **LINKLESS)
        assert hub.weight_bytes == size and same_as(published, linkless_home)

    def test_a_cut_shard_goes_on_where_it_ends(
        self, hub: HubServer, linkless_home: Path, published: Path
    ) -> None:
        size = (published / SHARDS[0]).stat().st_size
        os.truncate(snapshot(linkless_home) / SHARDS[0], size - 50_000)
        pull(hub, linkless_home, **LINKLESS)
        assert hub.weight_bytes == 50_000 and same_as(published, linkless_home)

    def test_a_copy_among_the_blobs_is_given_back(
        self, hub: HubServer, home: Path, published: Path
    ) -> None:
        """What was pulled with links is moved, not fetched, when there are none any more."""
        for name in SHARDS:
            (snapshot(home) / name).unlink()
        pull(hub, home, **LINKLESS)
        assert hub.weight_bytes <= 2 * HEADER_BYTES and same_as(published, home)
        weights = sum((published / name).stat().st_size for name in SHARDS)
        assert disk_bytes(home) < 2 * weights


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_snapshot_that_no_branch_names_is_the_same_to_every_command(
    hub: HubServer, home: Path, is_whole: bool
) -> None:
    (home / "hub" / "models--someone--model" / "refs" / "main").unlink()
    if not is_whole:
        (snapshot(home) / SHARDS[0]).unlink()
    listed = json.loads(run(hub, home, "list", "--json").stdout)["models"]
    assert [each["is_complete"] for each in listed if each["name"] == NAME] == [is_whole]
    offline = {"HF_HUB_OFFLINE": "1"}
    shown = run(hub, home, "show", NAME, **offline)
    answered = run(hub, home, "generate", "x", "-m", NAME, "--max-tokens", "1", **offline)
    assert (shown.returncode, answered.returncode) == ((0, 0) if is_whole else (1, 1))
    assert ("only in part" in shown.stderr) is not is_whole
