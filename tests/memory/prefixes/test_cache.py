"""A restored prefix is the computed one; budgets hold; damage is a miss."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest
from model.builders import SMALL, random_weights

from mlx_magistral.memory.prefixes.cache import PrefixCache
from mlx_magistral.memory.prefixes.disk import PrefixDisk
from mlx_magistral.memory.sizes import token_kv_bytes
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.transformer import Transformer

PROMPT = [(7 * index) % 128 for index in range(50)]
# float32 weights here: a token takes twice the bytes of the 16-bit arithmetic.
TOKEN_BYTES = int(2 * token_kv_bytes(SMALL, 16))
PLENTY = 1 << 30


@pytest.fixture(scope="module")
def model() -> Transformer:
    built = Transformer(SMALL)
    built.load_weights(list(random_weights(SMALL).items()), strict=True)
    return built


def filled(model: Transformer, tokens: list[int], bits: int = 16) -> list[KVCache]:
    cache = make_cache(model, bits)
    mx.eval(model(mx.array([tokens]), cache))
    return cache


def restored(prefixes: PrefixCache, model: Transformer, tokens: list[int], bits: int = 16) -> int:
    return prefixes.restore(tokens, make_cache(model, bits))


@pytest.mark.parametrize("bits", [16, 8])
@pytest.mark.parametrize("on_disk", [False, True])
def test_continued_prefix_gives_the_logits_of_the_whole(
    model: Transformer, tmp_path: Path, bits: int, on_disk: bool
) -> None:
    prefixes = PrefixCache("f", 0 if on_disk else PLENTY, PrefixDisk(tmp_path / "new", PLENTY))
    keep = prefixes.save if on_disk else prefixes.store
    keep(PROMPT, filled(model, PROMPT, bits))
    for prompt, expected in ((PROMPT[:30] + [9, 9, 9], 30), ([*PROMPT, 3], 50), (PROMPT, 49)):
        cache = make_cache(model, bits)
        assert prefixes.restore(prompt, cache) == expected == cache[0].offset
        logits = model(mx.array([prompt[expected:]]), cache)[:, -1]
        whole = model(mx.array([prompt]), make_cache(model, bits))[:, -1]
        assert mx.abs(logits - whole).max() <= 1e-4


def test_nothing_in_common_is_a_miss(model: Transformer) -> None:
    prefixes = PrefixCache("f", PLENTY)
    assert restored(prefixes, model, PROMPT) == 0
    prefixes.store(PROMPT, filled(model, PROMPT))
    assert restored(prefixes, model, [99, *PROMPT]) == 0
    assert restored(prefixes, model, PROMPT[:1]) == 0


def test_only_ids_that_the_cache_holds_are_stored(model: Transformer) -> None:
    prefixes = PrefixCache("f", PLENTY)
    prefixes.store([*PROMPT, 1, 2, 3], filled(model, PROMPT))
    assert restored(prefixes, model, [*PROMPT, 1, 2, 3, 4]) == len(PROMPT)
    prefixes.store(PROMPT, make_cache(model))
    assert prefixes.nbytes == len(PROMPT) * TOKEN_BYTES


def test_ram_budget_holds_and_the_oldest_goes_first(model: Transformer) -> None:
    prefixes = PrefixCache("f", 100 * TOKEN_BYTES)
    prompts = [[first, *PROMPT[1:40]] for first in (101, 102, 103)]
    for prompt in prompts[:2]:
        prefixes.store(prompt, filled(model, prompt))
    assert restored(prefixes, model, [*prompts[0], 1]) == 40
    prefixes.store(prompts[2], filled(model, prompts[2]))
    assert prefixes.nbytes <= prefixes.ram_bytes
    assert [restored(prefixes, model, [*each, 1]) for each in prompts] == [40, 0, 40]


def test_pinned_entry_stays_and_a_long_one_is_cut_to_what_fits(model: Transformer) -> None:
    prefixes = PrefixCache("f", 40 * TOKEN_BYTES)
    system = [100, 101, 102, 103, 104]
    prefixes.store(system, filled(model, system), is_pinned=True)
    prefixes.store(PROMPT, filled(model, PROMPT))
    assert prefixes.nbytes == prefixes.ram_bytes
    assert restored(prefixes, model, PROMPT) == 35
    assert restored(prefixes, model, [*system, 1]) == 5


def test_longer_entry_replaces_the_one_it_extends(model: Transformer) -> None:
    prefixes = PrefixCache("f", PLENTY)
    for length in (10, 20, 30, 25):
        prefixes.store(PROMPT[:length], filled(model, PROMPT[:length]))
    assert prefixes.nbytes == 30 * TOKEN_BYTES


def test_survives_a_restart_and_keeps_models_apart(model: Transformer, tmp_path: Path) -> None:
    first = PrefixCache("a", 0, PrefixDisk(tmp_path, PLENTY))
    first.save(PROMPT, filled(model, PROMPT))
    assert restored(PrefixCache("a", 0, PrefixDisk(tmp_path, PLENTY)), model, PROMPT) == 49
    assert restored(PrefixCache("b", 0, PrefixDisk(tmp_path, PLENTY)), model, PROMPT) == 0


def test_another_process_finds_it(model: Transformer, tmp_path: Path) -> None:
    PrefixCache("a", 0, PrefixDisk(tmp_path, PLENTY)).save(PROMPT, filled(model, PROMPT))
    code = (
        "import sys, pathlib; from mlx_magistral.memory.prefixes.disk import PrefixDisk;"
        "from mlx_magistral.memory.prefixes.match import Wanted, packed;"
        f"wanted = Wanted(packed({[*PROMPT, 1]}));"
        "layers, n = PrefixDisk(pathlib.Path(sys.argv[1])).load('a', wanted, 0);"
        "print(n, len(layers))"
    )
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=root
    )
    assert result.stdout.strip() == f"50 {SMALL.n_layers}", result.stderr


def test_disk_budget_removes_the_least_recently_used(model: Transformer, tmp_path: Path) -> None:
    disk = PrefixDisk(tmp_path, int(2.5 * 50 * TOKEN_BYTES))
    prefixes = PrefixCache("a", 0, disk)
    prompts = [[first, *PROMPT[1:]] for first in (101, 102, 103)]
    for age, prompt in zip((300, 200, 100), prompts, strict=True):
        prefixes.save(prompt, filled(model, prompt))
        for entry in disk.entries():
            if list(entry.tokens) == prompt:
                os.utime(tmp_path / f"{entry.name}.json", (entry.used - age, entry.used - age))
    assert sorted(entry.tokens[0] for entry in disk.entries()) == [102, 103]
    assert len(list(tmp_path.iterdir())) == 4
    assert disk.clear() > 0 and disk.entries() == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["bit", "short", "manifest", "keys", "missing"])
def test_damaged_entry_is_a_miss_and_is_removed(
    model: Transformer, tmp_path: Path, damage: str
) -> None:
    disk = PrefixDisk(tmp_path, PLENTY)
    prefixes = PrefixCache("a", 0, disk)
    prefixes.save(PROMPT, filled(model, PROMPT))
    (data,), (manifest,) = tmp_path.glob("*.safetensors"), tmp_path.glob("*.json")
    content = bytearray(data.read_bytes())
    if damage == "bit":
        content[-5] ^= 1
        data.write_bytes(content)
    elif damage == "short":
        data.write_bytes(content[:-1])
    elif damage == "manifest":
        manifest.write_text(manifest.read_text()[:-9])
    elif damage == "keys":
        manifest.write_text(json.dumps({"format": 1}))
    else:
        data.unlink()
    prefixes = PrefixCache("a", 0, PrefixDisk(tmp_path, PLENTY))  # a process that begins
    assert restored(prefixes, model, PROMPT) == 0
    assert damage == "missing" or list(tmp_path.iterdir()) == []
    prefixes.save(PROMPT, filled(model, PROMPT))
    assert restored(prefixes, model, PROMPT) == 49


def test_folder_that_cannot_be_made_is_a_note_and_ram_still_works(
    model: Transformer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    prefixes = PrefixCache("a", PLENTY, PrefixDisk(tmp_path / "file" / "cache", PLENTY))
    prefixes.save(PROMPT, filled(model, PROMPT))
    prefixes.store(PROMPT, filled(model, PROMPT))
    assert "cannot be written" in prefixes.notes[0]
    assert restored(prefixes, model, PROMPT) == 49


def test_full_disk_is_a_note_and_leaves_nothing(model: Transformer, tmp_path: Path) -> None:
    prefixes = PrefixCache("a", 0, PrefixDisk(tmp_path, PLENTY))
    cache = filled(model, PROMPT)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        prefixes.save(PROMPT, cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "File too large" in prefixes.notes[0]
    assert list(tmp_path.iterdir()) == []
