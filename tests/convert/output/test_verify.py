"""verify: silent on a sound folder, and one flipped bit anywhere is found and named."""

import json
import random
import shutil
from pathlib import Path

import pytest

from magistral_convert.output.manifest import MANIFEST_FILE, read_manifest
from magistral_convert.output.verify import verify_folder, verify_source
from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral.errors import ConversionError
from tests.convert.tiny_checkpoints import native_weights, write_native


@pytest.fixture(scope="module")
def sound(native_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted folder, read only."""
    folder = tmp_path_factory.mktemp("sound") / "out"
    convert_checkpoint(open_source(native_folder), folder, Recipe(6), shard_bytes=1)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(sound, tmp_path / "out"))


def _flip(path: Path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def test_a_sound_folder_has_no_finding(sound: Path, native_folder: Path) -> None:
    assert verify_folder(sound) == []
    assert verify_source(sound, open_source(native_folder)) == []


def test_a_bit_in_any_small_file_names_the_file(folder: Path) -> None:
    generator = random.Random(0)
    names = [path.name for path in folder.iterdir() if path.suffix != ".safetensors"]
    assert MANIFEST_FILE in names
    for name in names:
        data = (folder / name).read_bytes()
        for _ in range(8):
            _flip(folder / name, generator.randrange(len(data)), generator.randrange(8))
            if name == MANIFEST_FILE:
                with pytest.raises(ConversionError, match=MANIFEST_FILE):
                    verify_folder(folder)
            else:
                assert [finding.place for finding in verify_folder(folder)] == [name]
            (folder / name).write_bytes(data)


def test_a_bit_in_any_tensor_names_the_tensor(folder: Path) -> None:
    generator = random.Random(1)
    for path in sorted(folder.glob("*.safetensors")):
        data = path.read_bytes()
        header_bytes = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:header_bytes])
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                _flip(path, header_bytes + generator.randrange(begin, end), generator.randrange(8))
                assert [finding.place for finding in verify_folder(folder)] == [
                    f"{path.name}: {name}"
                ]
                path.write_bytes(data)


def test_a_bit_in_a_shard_s_header_names_the_shard(folder: Path) -> None:
    generator = random.Random(2)
    path = folder / "model-00002-of-00005.safetensors"
    data = path.read_bytes()
    for position in [0, 7, *(generator.randrange(8, 1000) for _ in range(20))]:
        _flip(path, position, generator.randrange(8))
        findings = verify_folder(folder)
        assert findings
        assert all(finding.place.startswith(path.name) for finding in findings)
        path.write_bytes(data)


def test_missing_and_stray_files_are_named(folder: Path) -> None:
    (folder / "params.json").unlink()
    (folder / "model-00001-of-00005.safetensors").unlink()
    (folder / "model-extra.safetensors").write_bytes(b"")
    problems = {finding.place: finding.problem for finding in verify_folder(folder)}
    assert problems["params.json"] == "is missing"
    assert problems["model-00001-of-00005.safetensors"] == "is missing"
    assert "not part" in problems["model-extra.safetensors"]


def test_files_that_macos_leaves_on_exfat_are_passed_over(folder: Path) -> None:
    for path in list(folder.iterdir()):
        (folder / f"._{path.name}").write_bytes(b"\0\5\x16\7")
    assert verify_folder(folder) == []


def test_another_source_is_found_by_its_bytes(sound: Path, tmp_path: Path) -> None:
    weights = native_weights()
    weights["layers.1.feed_forward.w2.weight"][0, 0] += 1
    findings = verify_source(sound, open_source(write_native(tmp_path / "other", weights)))
    assert [finding.place for finding in findings] == ["model.layers.1.mlp.down_proj.weight"]
    assert "other source bytes" in findings[0].problem


def test_a_wrong_error_in_a_resealed_manifest_is_found(folder: Path, native_folder: Path) -> None:
    manifest = read_manifest(folder)
    shard = manifest.shards["model-00005-of-00005.safetensors"]
    record = shard.tensors["lm_head.weight"]
    object.__setattr__(record, "error", record.error * 0.9)
    (folder / MANIFEST_FILE).write_bytes(manifest.encode())
    findings = verify_source(folder, open_source(native_folder))
    assert [finding.place for finding in findings] == ["lm_head.weight"]


def test_a_folder_of_something_else_is_refused(native_folder: Path) -> None:
    with pytest.raises(ConversionError, match=r"no readable conversion\.json"):
        verify_folder(native_folder)
