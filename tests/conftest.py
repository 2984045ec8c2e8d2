"""Models that several test files share; made once a session, in its temporary folder."""

import gc
import json
import os
import shutil
from pathlib import Path

# Before numpy is there: on a busy machine its threads spin while they wait for one another, and six
# times the processor time goes by for the small products of tests.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import mlx.core as mx
import pytest

from mlx_magistral.hub.resolve import nano_folder


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's own settings and remembered folders take part in a test."""
    path = tmp_path / "settings" / "config.toml"
    monkeypatch.setenv("MLX_MAGISTRAL_CONFIG", str(path))
    return path


@pytest.fixture(scope="session")
def pass_costs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What passes cost here is measured once for all tests."""
    return tmp_path_factory.mktemp("pass-costs")


@pytest.fixture(autouse=True)
def own_prefixes(
    tmp_path_factory: pytest.TempPathFactory, pass_costs: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """No test goes on from what another, or somebody at this machine, has computed."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "prefixes-pass-costs").symlink_to(pass_costs, target_is_directory=True)
    monkeypatch.setenv("MLX_MAGISTRAL_CACHE", str(folder / "prefixes"))
    return folder / "prefixes"


@pytest.fixture
def settled() -> None:
    """What earlier tests left for the garbage collector is gone, and is not freed meanwhile."""
    gc.collect()


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A native checkpoint of nano's shape with random weights, which greedy never ends.

    The stop token's logit is always 0, since its row of the head is: some other one is above it.
    """
    folder = tmp_path_factory.mktemp("endless")
    for name in ("params.json", "tekken.json", "SYSTEM_PROMPT.txt"):
        shutil.copy(nano_folder() / name, folder / name)
    params = json.loads((folder / "params.json").read_text())
    params["max_position_embeddings"] = 40960
    (folder / "params.json").write_text(json.dumps(params))
    mx.random.seed(0)
    trained = mx.load(str(nano_folder() / "consolidated.safetensors"))
    weights = {
        name: value if value.ndim == 1 else mx.random.normal(value.shape).astype(value.dtype) * 0.1
        for name, value in trained.items()
    }
    weights["output.weight"][2] = 0
    mx.save_safetensors(str(folder / "consolidated.safetensors"), weights)
    return folder
