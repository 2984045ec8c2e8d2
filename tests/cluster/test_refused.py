"""Ranks that do not fit each other, do not come or hang: refused before anything is computed."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlx_magistral.cluster import launch
from mlx_magistral.cluster.hello import take_hellos
from mlx_magistral.cluster.hosts import local_hosts
from mlx_magistral.errors import ClusterError
from mlx_magistral.hub.resolve import nano_folder

PROGRAM = [sys.executable, "-m", "mlx_magistral", "generate"]


def followers() -> list[str]:
    """Command lines of followers that this process has started."""
    table = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(None, 1) for line in table.splitlines()[1:]]
    return [row[1] for row in rows if int(row[0]) == os.getpid() and "cluster.follow" in row[1]]


@pytest.fixture
def follower_runs(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """An environment in which followers alone run a line of Python before they begin."""

    def environment(line: str) -> dict[str, str]:
        text = f"import os, sys\nif 'mlx_magistral.cluster.follow' in sys.orig_argv:\n    {line}\n"
        (tmp_path / "sitecustomize.py").write_text(text)
        paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}

    return environment


def in_hub(home: Path, *, damaged: bool) -> str:
    """nano as a download of a hub id; one byte of the weights differs where it is damaged."""
    repository = home / "hub" / "models--me--tiny"
    snapshot = repository / "snapshots" / ("a" * 40)
    shutil.copytree(nano_folder(), snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    if damaged:
        file = snapshot / "consolidated.safetensors"
        content = bytearray(file.read_bytes())
        content[-1000] ^= 1
        file.write_bytes(content)
    return "me/tiny"


def ended(environment: dict[str, str], model: str) -> tuple[int, list[str]]:
    """Exit code and standard error of a reply over two ranks."""
    command = [*PROGRAM, "--ranks", "2", "--no-reuse-prefixes", "-m", model, "hello"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    return result.returncode, result.stderr.splitlines()


def test_a_rank_whose_files_differ_is_refused_by_name(
    tmp_path: Path, follower_runs: Callable[[str], dict[str, str]]
) -> None:
    model = in_hub(tmp_path / "leads", damaged=False)
    in_hub(tmp_path / "follows", damaged=True)
    environment = follower_runs(f"os.environ['HF_HOME'] = {str(tmp_path / 'follows')!r}")
    code, lines = ended({**environment, "HF_HOME": str(tmp_path / "leads")}, model)
    assert code and len(lines) == 1
    assert lines[0].startswith("error: rank 1 here (rank 1) has another me/tiny than rank 0")


def test_a_process_of_another_version_is_refused_by_name(
    follower_runs: Callable[[str], dict[str, str]],
) -> None:
    line = "import mlx_magistral.version; mlx_magistral.version.__version__ = '0.0.1'"
    code, lines = ended(follower_runs(line), "nano")
    assert code == 1 and len(lines) == 1
    assert lines[0].startswith("error: rank 1 here has mlx-magistral 0.0.1 and this one ")


def test_a_rank_that_hangs_while_the_ring_is_formed_ends_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "leader.py"
    program.write_text(
        "import json, os, time\n"
        "call = json.loads(os.environ['MLX_MAGISTRAL_CLUSTER'])\n"
        "os.write(call['status'], b'joining\\n')\n"
        "time.sleep(600)\n"
    )
    monkeypatch.setattr(launch, "_JOIN_S", 0.2)
    with pytest.raises(ClusterError, match="did not find each other within 0 s"):
        launch.run(local_hosts(2), [str(program)])
    assert followers() == []


def test_a_rank_that_does_not_come_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(ClusterError, match="mac2 did not come"):
            take_hellos(listener, ["mac1", "mac2"], "token", time.monotonic())
