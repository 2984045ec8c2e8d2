"""``cache list`` and ``cache clear`` on a folder of their own."""

import json
from pathlib import Path

import mlx.core as mx
import pytest
from click.testing import CliRunner

from mlx_magistral.cli.main import main
from mlx_magistral.memory.prefixes.disk import FOLDER_VARIABLE, PrefixDisk


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["cache", *arguments])
    return result.exit_code, result.stdout


def test_list_and_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "prefixes"))
    assert "0 prefixes" in run("list")[1]
    layers = [(mx.zeros((1, 2, 3, 4)), mx.zeros((1, 2, 3, 4)))]
    PrefixDisk(tmp_path / "prefixes").save("abc", [1, 2, 3], layers, is_pinned=True)
    code, out = run("list")
    assert code == 0 and "3 tokens" in out and "pinned" in out and "1 prefixes" in out
    assert "removed" in run("clear")[1]
    assert "0 prefixes" in run("list")[1]


def test_unknown_action_is_a_usage_error() -> None:
    assert run("burn")[0] == 2


def test_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_MAGISTRAL_CACHE", str(tmp_path / "prefixes"))
    for action, keys in (
        ("list", {"folder", "budget_bytes", "prefixes"}),
        ("clear", {"folder", "freed_bytes"}),
    ):
        result = CliRunner().invoke(main, ["cache", action, "--json"])
        assert result.exit_code == 0 and set(json.loads(result.stdout)) == keys
