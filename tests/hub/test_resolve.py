"""Names to folders: local rules directly, downloads by the real client from a loopback hub."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer

from mlx_magistral.errors import HubError, ModelNotFoundError
from mlx_magistral.hub.files import files_to_download
from mlx_magistral.hub.resolve import default_model, nano_folder, resolve_model

REPOSITORY = "someone/nano"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A hub whose repository holds nano in both formats, as the original one does."""
    folder = tmp_path / "repository"
    shutil.copytree(nano_folder(), folder)
    (folder / "README.md").write_text("not needed")
    (folder / "model-00001-of-00001.safetensors").write_bytes(b"the same weights again")
    with HubServer({REPOSITORY: folder}) as server:
        yield server


def run_with_hub(hub: HubServer, home: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


def resolve_in_process(hub: HubServer, home: Path, name: str = REPOSITORY) -> str:
    code = (
        # The real client waits between its retries; what it does is the same without.
        "import time; time.sleep = lambda seconds: None\n"
        "from mlx_magistral.hub.resolve import resolve_model\n"
        "from mlx_magistral.errors import MagistralError\n"
        f"try: print(resolve_model({name!r}))\n"
        "except MagistralError as error: print(type(error).__name__, error)"
    )
    result = run_with_hub(hub, home, code)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_download_takes_one_weight_format_and_the_side_files(
    hub: HubServer, tmp_path: Path
) -> None:
    folder = Path(resolve_in_process(hub, tmp_path / "home"))
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "model-00001-of-00001.safetensors",
        "params.json",
        "tekken.json",
        "SYSTEM_PROMPT.txt",
    }
    assert hub.downloads() == names


def test_second_time_asks_the_network_nothing(hub: HubServer, tmp_path: Path) -> None:
    first = resolve_in_process(hub, tmp_path / "home")
    hub.requests.clear()
    assert resolve_in_process(hub, tmp_path / "home") == first
    assert hub.requests == []


def test_partial_snapshot_is_completed(hub: HubServer, tmp_path: Path) -> None:
    folder = Path(resolve_in_process(hub, tmp_path / "home"))
    (folder / "tekken.json").unlink()
    assert resolve_in_process(hub, tmp_path / "home") == str(folder)
    assert (folder / "tekken.json").exists()


def test_model_from_the_hub_answers(hub: HubServer, tmp_path: Path) -> None:
    (hub.repositories[REPOSITORY] / "model-00001-of-00001.safetensors").unlink()
    code = (
        "from mlx_magistral import Magistral\n"
        f"print(Magistral.load({REPOSITORY!r}).generate('What is 1 + 2?', temperature=0))"
    )
    result = run_with_hub(hub, tmp_path / "home", code)
    assert result.returncode == 0, result.stderr
    assert "content=" in result.stdout


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "GatedRepo", "is gated. Accept its terms"),
        (404, "RepoNotFound", "ModelNotFoundError There is no folder and no hub repository"),
        (500, "", "could not be downloaded"),
    ],
)
def test_refusals_say_what_to_do(
    hub: HubServer, tmp_path: Path, status: int, code: str, expected: str
) -> None:
    hub.refused[REPOSITORY] = (status, code)
    assert expected in resolve_in_process(hub, tmp_path / "home")


def test_unreachable_hub_is_one_clear_error(tmp_path: Path) -> None:
    with HubServer({}) as gone:
        pass
    assert "could not be downloaded" in resolve_in_process(gone, tmp_path / "home")


def test_native_weights_are_taken_where_there_are_no_hf_ones() -> None:
    files = ["consolidated.safetensors", "params.json", "tekken.json", "figure.png"]
    assert files_to_download(files) == ["consolidated.safetensors", "params.json", "tekken.json"]


def test_hf_weights_win_and_bring_their_index() -> None:
    files = [
        "consolidated.safetensors",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "sub/model.safetensors",
        "config.json",
        "tekken.json",
    ]
    assert files_to_download(files) == [*files[2:4], files[1], "config.json", "tekken.json"]


def test_repository_without_safetensors_is_refused() -> None:
    with pytest.raises(HubError, match="no model"):
        files_to_download(["model.gguf", "config.json"])


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_model("nano") == nano_folder()
    assert resolve_model(tmp_path) == tmp_path
    with pytest.raises(ModelNotFoundError, match="no folder ./nothing-here"):
        resolve_model("./nothing-here")
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(ModelNotFoundError, match="is a file"):
        resolve_model(tmp_path / "weights.bin")


def test_default_is_the_environment_then_nano(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLX_MAGISTRAL_MODEL", raising=False)
    assert default_model() == "nano"
    monkeypatch.setenv("MLX_MAGISTRAL_MODEL", "some/model")
    assert default_model() == "some/model"
