"""Each manifest is read once, and what other processes add, remove or write anew is seen."""

import json
import os
from pathlib import Path

import mlx.core as mx
import pytest

from mlx_magistral.memory.prefixes.disk import PrefixDisk
from mlx_magistral.memory.prefixes.match import Wanted, packed

LAYERS = [(mx.zeros((1, 2, 3, 4)), mx.ones((1, 2, 3, 4)))]


def known(disk: PrefixDisk, *tokens: int) -> int:
    return disk.load("f", Wanted(packed([*tokens, 0])), 0)[1]


def test_manifests_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = PrefixDisk(tmp_path), PrefixDisk(tmp_path)
    read = []
    parse = json.loads
    monkeypatch.setattr(json, "loads", lambda text: read.append(text) or parse(text))
    for first in (1, 2):
        writer.save("f", [first, 8, 9], LAYERS)
    assert [known(reader, 1, 8), known(reader, 2, 8, 7)] == [2, 2]
    count = len(read)
    assert [known(reader, 1, 8), known(reader, 3), len(reader.entries())] == [2, 0, 2]
    assert len(read) == count
    writer.save("f", [3, 8, 9], LAYERS)
    assert known(reader, 3, 8) == 2


def test_what_another_process_removes_is_gone(tmp_path: Path) -> None:
    writer, reader = PrefixDisk(tmp_path), PrefixDisk(tmp_path)
    writer.save("f", [1, 2, 3], LAYERS)
    assert known(reader, 1, 2, 3) == 3
    writer.clear()
    assert known(reader, 1, 2, 3) == 0 and reader.entries() == []


def test_an_entry_that_was_written_anew_is_read_as_it_is_now(tmp_path: Path) -> None:
    writer, reader = PrefixDisk(tmp_path), PrefixDisk(tmp_path)
    writer.save("f", [1, 2, 3], LAYERS)
    assert known(reader, 1, 2, 3) == 3
    writer.clear()
    (tmp_path / "takes the place").write_text("so that the file system gives another number")
    writer.save("f", [1, 2, 3], [tuple(array + 5 for array in LAYERS[0])])
    layers, length = reader.load("f", Wanted(packed([1, 2, 3, 4])), 0)
    assert length == 3 and layers is not None and layers[0][0].max().item() == 5


def test_clear_leaves_what_is_not_the_caches(tmp_path: Path) -> None:
    disk = PrefixDisk(tmp_path)
    disk.save("f", [1, 2, 3], LAYERS)
    (tmp_path / "notes.json").write_text("mine")
    (tmp_path / f"draft-{0:032x}.safetensors").write_text("left by a process that died")
    (tmp_path / f"{1:032x}.json").write_text('{"format": 0}')
    os.utime(tmp_path / "notes.json", (1, 1))
    disk.save("f", [4, 5, 6], LAYERS)
    disk.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.json"]
