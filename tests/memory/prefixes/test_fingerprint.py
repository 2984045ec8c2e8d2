"""Prefixes are kept under what the weights hold: neither dates nor names make two models one."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest
from model.builders import SMALL, random_weights, write_hf

from mlx_magistral import Magistral
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.memory.prefixes import fingerprint
from mlx_magistral.memory.prefixes.disk import FOLDER_VARIABLE, PrefixDisk
from mlx_magistral.memory.prefixes.fingerprint import model_fingerprint
from mlx_magistral.model.checkpoint import open_checkpoint

ONE_DATE = (1, 1)


def name_of(folder: Path) -> str:
    return model_fingerprint(open_checkpoint(folder), 16, 256)


def of_one_date(folder: Path) -> Path:
    for path in folder.iterdir():
        os.utime(path, ONE_DATE)
    return folder


@pytest.fixture(params=["read whole", "read in samples"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of this test count as small or as large."""
    if request.param == "read in samples":
        monkeypatch.setattr(fingerprint, "_SMALL_BYTES", 0)


@pytest.mark.usefixtures("size")
class TestName:
    def test_is_the_same_for_the_same(self, tmp_path: Path) -> None:
        write_hf(tmp_path)
        assert name_of(tmp_path) == name_of(tmp_path)

    def test_tells_kv_formats_and_chunks_apart(self, tmp_path: Path) -> None:
        checkpoint = open_checkpoint(write_hf(tmp_path))
        names = {model_fingerprint(checkpoint, *how) for how in ((16, 256), (8, 256), (16, 512))}
        assert len(names) == 3

    def test_tells_two_models_of_one_shape_size_and_date_apart(self, tmp_path: Path) -> None:
        folders = [
            of_one_date(write_hf(tmp_path / str(seed), SMALL, random_weights(SMALL, seed=seed)))
            for seed in (0, 1)
        ]
        assert name_of(folders[0]) != name_of(folders[1])

    @pytest.mark.parametrize("layer", range(SMALL.n_layers))
    def test_tells_a_fine_tune_of_one_matrix_apart(self, tmp_path: Path, layer: int) -> None:
        weights = random_weights(SMALL)
        plain = of_one_date(write_hf(tmp_path / "plain", SMALL, weights))
        key = f"model.layers.{layer}.self_attn.v_proj.weight"
        weights[key] = weights[key] + 1e-3 * mx.random.normal(weights[key].shape)
        assert name_of(plain) != name_of(of_one_date(write_hf(tmp_path / "tuned", SMALL, weights)))

    def test_of_a_converted_folder_holds_where_it_is_copied_to(self, tmp_path: Path) -> None:
        write_hf(tmp_path / "a")
        (tmp_path / "a" / "conversion.json").write_text(json.dumps({"shards": {}}))
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        assert name_of(tmp_path / "a") == name_of(of_one_date(tmp_path / "b"))
        # Another conversion of the same shape, its weights put in place of the first's.
        tuned = write_hf(tmp_path / "tuned", SMALL, random_weights(SMALL, seed=1))
        shutil.copy(tuned / "model.safetensors", tmp_path / "b")
        assert name_of(tmp_path / "a") != name_of(of_one_date(tmp_path / "b"))


def test_a_row_edited_in_a_large_file_changes_the_name_by_its_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "_SMALL_BYTES", 0)
    before = name_of(of_one_date(write_hf(tmp_path)))
    os.utime(tmp_path / "model.safetensors", (2, 2))
    assert name_of(tmp_path) != before


def test_a_blob_of_the_hubs_cache_is_named_by_its_hash(tmp_path: Path) -> None:
    snapshot = write_hf(tmp_path / "snapshots" / "a")
    blob = tmp_path / "blobs" / ("0" * 64)
    blob.parent.mkdir()
    (snapshot / "model.safetensors").rename(blob)
    (snapshot / "model.safetensors").symlink_to(blob)
    before = name_of(snapshot)
    os.utime(blob, ONE_DATE)
    assert name_of(snapshot) == before
    other = blob.rename(blob.with_name("1" * 64))
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to(other)
    assert name_of(snapshot) != before


def test_two_fine_tunes_of_one_date_answer_each_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "prefixes"))
    question, folders = "What is 37 + 48? " + "Think well. " * 60, []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        shutil.copytree(nano_folder(), folder)
        file = str(folder / "consolidated.safetensors")
        weights = mx.load(file)
        mx.random.seed(seed)
        for key, value in weights.items():
            weights[key] = value + 0.02 * seed * mx.random.normal(value.shape).astype(value.dtype)
        mx.eval(weights)
        mx.save_safetensors(file, weights)
        folders.append(of_one_date(folder))
    options = {"temperature": 0.0, "max_tokens": 12}
    Magistral.load(folders[0], reuse_prefixes=True).generate(question, **options)
    reusing = Magistral.load(folders[1], reuse_prefixes=True).generate(question, **options)
    plain = Magistral.load(folders[1]).generate(question, **options)
    assert reusing.usage.cached_tokens == 0
    assert (reusing.reasoning, reusing.content) == (plain.reasoning, plain.content)


def test_entries_of_an_earlier_version_are_dropped_once_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    question, options = "Think well. " * 60, {"temperature": 0.0, "max_tokens": 1}
    first = Magistral.load("nano", reuse_prefixes=True)
    first.generate(question, **options)
    manifests = list(tmp_path.glob("*.json"))
    assert manifests and first.memory.take_notes() == []
    for manifest in manifests:
        content = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**content, "format": content["format"] - 1}))
    again = Magistral.load("nano", reuse_prefixes=True)
    assert again.generate(question, **options).usage.cached_tokens == 0
    (note,) = again.memory.take_notes()
    assert note.startswith(f"{len(manifests)} kept prompts of an earlier version were dropped")
    again.generate(question, **options)
    assert again.memory.take_notes() == []
    assert len(PrefixDisk(tmp_path).entries()) == len(manifests)


def test_the_name_of_a_large_model_takes_little_time(tmp_path: Path) -> None:
    """363 tensors in ten files of holes: reads are counted, for time depends on the machine."""
    config = replace(SMALL, n_layers=40)
    folder = write_hf(tmp_path, config, random_weights(config), shards=10)
    reads: list[int] = []
    original = os.pread
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "_SMALL_BYTES", 0)
        patch.setattr(os, "pread", lambda *call: reads.append(call[1]) or original(*call))
        name_of(folder)
    assert len(reads) == 2 * 363 and sum(reads) <= 363 * 512
