"""Entries that continue another hold only what comes after it, and live and die with it."""

import json
import os
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_magistral.memory.prefixes import disk as disk_module
from mlx_magistral.memory.prefixes.disk import PrefixDisk
from mlx_magistral.memory.prefixes.layer_file import Layers
from mlx_magistral.memory.prefixes.match import Wanted, packed

TOKENS = list(range(100, 400))
HEADS, SIZE, LAYERS = 2, 8, 3


def layers(count: int, dtype: mx.Dtype = mx.bfloat16, room: int = 0) -> Layers:
    """Keys and values that say which token, layer and part they are of."""
    made = []
    for layer in range(LAYERS):
        shape = (1, HEADS, count + room, SIZE)
        rows = mx.arange(count + room)[:, None] + 1000 * layer
        made.append(tuple(mx.broadcast_to(rows + part, shape).astype(dtype) for part in (0, 0.5)))
    mx.eval(made)
    return made


def token_bytes() -> int:
    return LAYERS * 2 * HEADS * SIZE * 2


def write(disk: PrefixDisk, count: int, **options: object) -> bool:
    return disk.save("f", TOKENS[:count], layers(count), **options)  # type: ignore[arg-type]


def array_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def read(disk: PrefixDisk, count: int) -> tuple[int, bool]:
    """How many ids of so many are found, and whether they are the right arrays."""
    found, length = disk.load("f", Wanted(packed([*TOKENS[:count], 1])), 0)
    if found is None:
        return 0, True
    wanted = layers(length)
    same = [
        np.array_equal(np.array(a.astype(mx.float32)), np.array(b.astype(mx.float32)))
        for left, right in zip(found, wanted, strict=True)
        for a, b in zip(left, right, strict=True)
    ]
    return length, all(same) and len(same) == 2 * LAYERS


def test_each_turn_writes_only_what_it_adds(tmp_path: Path) -> None:
    disk = PrefixDisk(tmp_path)
    counts = [40, 90, 150, 200, 300]
    for count in counts:
        write(disk, count)
    headers = 5 * 1024
    assert array_bytes(tmp_path) <= counts[-1] * token_bytes() + headers
    assert (
        sum(len(json.loads(file.read_text())["tokens"]) for file in tmp_path.glob("*.json"))
        == (counts[-1])
    )
    for reader in (disk, PrefixDisk(tmp_path)):
        assert [read(reader, count) for count in counts] == [(count, True) for count in counts]
        # A prompt that ends inside of an entry, or goes another way there.
        assert read(reader, 120) == (120, True)
        found, length = reader.load("f", Wanted(packed([*TOKENS[:170], 7, 7])), 0)
        assert length == 170 and found is not None and found[0][0].shape[2] == 170


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16, mx.float32, mx.uint32])
def test_every_stored_dtype_is_read_as_it_was(tmp_path: Path, dtype: mx.Dtype) -> None:
    disk = PrefixDisk(tmp_path)
    for count in (10, 25):
        disk.save("f", TOKENS[:count], layers(count, dtype, room=6))
    found, _ = disk.load("f", Wanted(packed([*TOKENS[:25], 1])), 0)
    assert found is not None and found[0][0].dtype == dtype
    assert mx.array_equal(found[2][1], layers(25, dtype)[2][1])


def test_the_file_is_safetensors_as_others_read_it(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    disk = PrefixDisk(tmp_path)
    disk.save("f", TOKENS[:9], layers(9, mx.float32))
    (file,) = tmp_path.glob("*.safetensors")
    stored = load_file(file)
    assert sorted(stored) == sorted(f"{i}.{j}" for i in range(LAYERS) for j in (0, 1))
    assert np.array_equal(stored["1.1"], np.array(layers(9, mx.float32)[1][1]))


def test_an_entry_is_continued_only_where_a_pass_ended(tmp_path: Path) -> None:
    disk = PrefixDisk(tmp_path)
    write(disk, 40)
    write(disk, 90, ends=[30, 60])
    assert sorted(entry.start for entry in disk.entries()) == [0, 0]
    write(disk, 150, ends=[40, 90, 120])
    assert max(entry.start for entry in disk.entries()) == 90


def test_a_longer_one_continues_the_longest_and_branches_share_it(tmp_path: Path) -> None:
    disk = PrefixDisk(tmp_path)
    write(disk, 40)
    write(disk, 90)
    branch = [*TOKENS[:90], *range(7, 60)]
    disk.save("f", branch, layers(len(branch)))
    write(disk, 200)
    starts = sorted((len(entry.tokens), entry.start) for entry in disk.entries())
    assert starts == [(40, 0), (90, 40), (143, 90), (200, 90)]


@pytest.mark.parametrize("damage", ["gone", "bit", "parent", "start"])
def test_what_continues_a_damaged_entry_is_a_miss_and_is_removed(
    tmp_path: Path, damage: str
) -> None:
    disk = PrefixDisk(tmp_path)
    for count in (40, 90, 150):
        write(disk, count)
    first, middle, _ = sorted(disk.entries(), key=lambda entry: entry.start)
    manifest = tmp_path / f"{middle.name}.json"
    arrays = tmp_path / f"{middle.name}.safetensors"
    if damage == "gone":
        arrays.unlink()
        manifest.unlink()
    elif damage == "bit":
        content = bytearray(arrays.read_bytes())
        content[-3] ^= 1
        arrays.write_bytes(content)
    else:
        content = json.loads(manifest.read_text())
        content[damage] = {"parent": middle.name, "start": 39}[damage]
        manifest.write_text(json.dumps(content))
    assert read(PrefixDisk(tmp_path), 150) == (40, True)
    assert [entry.name for entry in PrefixDisk(tmp_path).entries()] == [first.name]
    write(disk, 150)
    assert read(PrefixDisk(tmp_path), 150) == (150, True)


def test_a_conversation_goes_from_its_end_when_the_budget_is_full(tmp_path: Path) -> None:
    disk = PrefixDisk(tmp_path, 320 * token_bytes())
    for count in (100, 150, 200):
        write(disk, count)
    other = [7, *TOKENS[:150]]
    disk.save("f", other, layers(len(other)))
    assert sum(entry.nbytes for entry in disk.entries()) <= disk.budget_bytes
    # 151 and the headers took the place of the last turn alone.
    assert sorted(len(entry.tokens) for entry in disk.entries()) == [100, 150, 151]
    assert read(disk, 200) == (150, True)


def test_using_the_last_turn_uses_all_before_it(tmp_path: Path) -> None:
    disk = PrefixDisk(tmp_path)
    for count in (40, 90):
        write(disk, count)
    disk.save("f", [7, 7, 7], layers(3))
    for entry in disk.entries():
        os.utime(tmp_path / f"{entry.name}.json", (1000, 1000))
    read(PrefixDisk(tmp_path), 90)
    oldest, *used = PrefixDisk(tmp_path).entries()
    assert list(oldest.tokens) == [7, 7, 7] and used[0].used == used[1].used > 1000


def test_the_budget_is_looked_at_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = PrefixDisk(tmp_path / "new", 100 * token_bytes())

    def refuse(*arguments: object) -> None:
        raise AssertionError("nothing is to be written")

    with monkeypatch.context() as patch:
        patch.setattr(disk_module, "write_layers", refuse)
        assert write(disk, 101)
    assert not (tmp_path / "new").exists()
    assert write(disk, 60)
    with monkeypatch.context() as patch:
        patch.setattr(disk_module, "write_layers", refuse)
        assert write(disk, 101)  # with what it continues it is over the budget
        assert write(disk, 60)  # and this one is there
    assert read(disk, 101) == (60, True)


def test_a_write_that_is_given_up_leaves_nothing_and_can_be_made_again(tmp_path: Path) -> None:
    disk = PrefixDisk(tmp_path)
    write(disk, 40)
    before = sorted(path.name for path in tmp_path.iterdir())
    asked = iter([True, True, False])
    assert not write(disk, 90, is_wanted=lambda: next(asked))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert write(disk, 90) and read(disk, 90) == (90, True)


def test_neither_writing_nor_reading_holds_a_second_copy(tmp_path: Path) -> None:
    count = 300
    disk = PrefixDisk(tmp_path)
    held = [
        tuple(mx.zeros((1, 4, count, 256), mx.bfloat16) + layer for _ in (0, 1))
        for layer in range(12)
    ]
    mx.eval(held)
    one = held[0][0].nbytes
    for upto in (100, count):
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        disk.save("f", TOKENS[:upto], held)
        assert mx.get_peak_memory() - before <= 2 * one
    del held
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    found, _ = disk.load("f", Wanted(packed([*TOKENS, 1])), 0)
    assert found is not None
    assert mx.get_peak_memory() - before <= 24 * one + 3 * one


def test_a_parent_that_another_process_removes_meanwhile_costs_a_miss_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = PrefixDisk(tmp_path)
    write(disk, 40)
    original = disk_module.write_layers

    def while_another_clears(*arguments: Any) -> int | None:
        PrefixDisk(tmp_path).remove(PrefixDisk(tmp_path).entries())
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(disk_module, "write_layers", while_another_clears)
        assert write(disk, 90)
    assert read(disk, 90) == read(PrefixDisk(tmp_path), 90) == (0, True)
    assert list(tmp_path.iterdir()) == []
    assert write(disk, 90) and read(disk, 90) == (90, True)
