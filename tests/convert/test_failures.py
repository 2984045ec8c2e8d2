"""What goes wrong outside, through the command line: one clear line, and the work done so far kept.

Shards are as small as they can be, so that some are finished before the failure.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from magistral_convert import pipeline
from mlx_magistral.cli.main import main
from tests.convert.tiny_checkpoints import hf_weights, native_weights, write_hf, write_native

_TENSOR = "model.layers.1.mlp.down_proj.weight"
_INDEX = "model.safetensors.index.json"


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "DEFAULT_SHARD_BYTES", 1)


def _convert(source: Path, output: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["convert", str(source), str(output), *options])


def _refusal(result: Result) -> str:
    """The one line of error of a failed conversion."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in result.stderr
    return line


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def unbroken(native_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted conversion into the same shards writes."""
    output = tmp_path_factory.mktemp("unbroken") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "DEFAULT_SHARD_BYTES", 1)
        assert _convert(native_folder, output).exit_code == 0
    return _contents(output)


def _at_the_third_shard(patch: pytest.MonkeyPatch, happen: Callable[[], object]) -> None:
    convert_shard = pipeline.convert_shard

    def convert_or_fail(source: Any, shard: Any, *rest: Any) -> Any:
        if shard.file.startswith("model-00003"):
            happen()
        return convert_shard(source, shard, *rest)

    patch.setattr(pipeline, "convert_shard", convert_or_fail)


def _assert_goes_on(source: Path, output: Path, finished: int, unbroken: dict[str, bytes]) -> None:
    """The shards before the failure are kept, and the same command ends in the same bytes."""
    assert not output.exists()
    result = _convert(source, output)
    assert result.exit_code == 0, result.output
    assert f"finished already and still hashing right: {finished} shard" in result.stderr
    assert _contents(output) == unbroken
    assert not output.with_name("out.partial").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_number_names_its_tensor(tmp_path: Path, value: float) -> None:
    weights = native_weights()
    weights["layers.1.feed_forward.w2.weight"][7, 9] = value
    source = write_native(tmp_path / "source", weights)
    line = _refusal(_convert(source, tmp_path / "out"))
    assert line.startswith(f"error: {_TENSOR} holds NaN or infinity")
    # A mended source is another one: the choice is offered, and taking it works.
    write_native(source, native_weights())
    assert "--restart" in _refusal(_convert(source, tmp_path / "out"))
    assert _convert(source, tmp_path / "out", "--restart").exit_code == 0


@pytest.mark.parametrize(
    "name",
    ["tok_embeddings", "layers.1.feed_forward.w2", "layers.2.attention_norm", "norm", "output"],
)
def test_compare_names_the_tensor_that_holds_no_number(tmp_path: Path, name: str) -> None:
    weights = native_weights()
    weights[f"{name}.weight"] = weights[f"{name}.weight"] * float("nan")
    damaged = write_native(tmp_path / "damaged", weights)
    sound = write_native(tmp_path / "sound", native_weights())
    (tmp_path / "ids.jsonl").write_text(json.dumps({"tokens": list(range(64))}))
    data = ["--data", str(tmp_path / "ids.jsonl"), "--json"]
    result = CliRunner().invoke(main, ["compare", str(sound), str(damaged), *data])
    hf = next(iter(hf_weights({f"{name}.weight": weights[f"{name}.weight"]})))
    assert f"{damaged}: {hf} holds NaN or infinity" in _refusal(result)
    assert result.stdout == ""


def test_a_shard_that_the_index_names_must_be_there(tmp_path: Path) -> None:
    source = write_hf(tmp_path / "source", hf_weights(native_weights()), shards=3)
    (source / "model-00002-of-00003.safetensors").unlink()
    line = _refusal(_convert(source, tmp_path / "out"))
    assert "names model-00002-of-00003.safetensors, which is not there" in line


def _misplaced(places: dict[str, str]) -> None:
    places[_TENSOR] = next(file for file in places.values() if file != places[_TENSOR])


def _invented(places: dict[str, str]) -> None:
    places["model.layers.3.mlp.down_proj.weight"] = places[_TENSOR]


def _left_out(places: dict[str, str]) -> None:
    del places[_TENSOR]


@pytest.mark.parametrize("change", [_misplaced, _invented, _left_out])
def test_an_index_need_not_agree_with_shards_that_hold_everything(
    tmp_path: Path, change: Callable[[dict[str, str]], None]
) -> None:
    source = write_hf(tmp_path / "source", hf_weights(native_weights()), shards=3)
    index = json.loads((source / _INDEX).read_text())
    change(index["weight_map"])
    (source / _INDEX).write_text(json.dumps(index))
    plain = write_native(tmp_path / "plain", native_weights())
    for each, output in ((source, "out"), (plain, "expected")):
        assert _convert(each, tmp_path / output).exit_code == 0
    weights = [
        {path.name: path.read_bytes() for path in (tmp_path / output).glob("*.safetensors")}
        for output in ("out", "expected")
    ]
    assert weights[0] == weights[1]


def test_a_disk_full_half_way_can_be_emptied_and_gone_on_with(
    native_folder: Path,
    tmp_path: Path,
    unbroken: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = os.pwrite
    room = sum(len(data) for data in unbroken.values()) // 2

    def write_while_there_is_room(descriptor: int, data: Any, offset: int) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        # As a real disk does it: what still fits is written first.
        written = write(descriptor, data[: max(room, 1)], offset)
        room -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", write_while_there_is_room)
        line = _refusal(_convert(native_folder, tmp_path / "out"))
    assert f"the disk of {tmp_path} is full" in line and "run the same command again" in line
    finished = len(list((tmp_path / "out.partial" / "journal").glob("model-*.json")))
    assert 1 <= finished <= 4
    _assert_goes_on(native_folder, tmp_path / "out", finished, unbroken)


def test_what_a_killed_run_was_writing_does_not_count_as_used(
    native_folder: Path,
    tmp_path: Path,
    unbroken: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk with room for the rest and no more, once the unfinished file is gone."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        _at_the_third_shard(patch, interrupt)
        _convert(native_folder, tmp_path / "out")
    folder = tmp_path / "out.partial" / "model"
    (folder / "model-00003-of-00005.safetensors.tmp").write_bytes(bytes(1_000_000))
    size = 64 * 1024 * 1024 + 1_000_000
    usage = shutil.disk_usage(tmp_path)

    def nearly_full(place: Any) -> Any:
        used = sum(path.stat().st_size for path in folder.glob("*.tmp"))
        return usage._replace(free=size - used)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", nearly_full)
        _assert_goes_on(native_folder, tmp_path / "out", 2, unbroken)


@pytest.mark.parametrize("name", ["", ".", "/", ".."])
def test_an_output_without_a_name_is_one_line(native_folder: Path, name: str) -> None:
    result = CliRunner().invoke(main, ["convert", str(native_folder), name])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"OUTPUT is {name!r}, which is no name" in result.stderr


def test_an_output_that_is_a_link_to_nowhere_is_refused(
    native_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    line = _refusal(_convert(native_folder, tmp_path / "link"))
    assert f"is a link to {tmp_path / 'nowhere'}, which is not there" in line
    assert (tmp_path / "link").is_symlink() and not (tmp_path / "nowhere").exists()


def test_a_tilde_in_the_output_is_home(
    native_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert CliRunner().invoke(main, ["convert", str(native_folder), "~/out"]).exit_code == 0
    assert (tmp_path / "out" / "config.json").is_file()


def test_a_place_that_is_read_only_is_named(
    native_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any, *_: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    line = _refusal(_convert(native_folder, tmp_path / "out"))
    assert "out.partial cannot be written: Read-only file system. Choose another" in line


def test_a_source_that_vanishes_half_way_can_come_back(
    tmp_path: Path, unbroken: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_native(tmp_path / "source", native_weights())
    file, elsewhere = source / "consolidated.safetensors", tmp_path / "elsewhere"
    with monkeypatch.context() as patch:
        _at_the_third_shard(patch, lambda: file.rename(elsewhere))
        line = _refusal(_convert(source, tmp_path / "out"))
    assert f"from {file} failed: No such file" in line and "bring the disk back" in line
    # While it is away the command says so, and touches nothing.
    _refusal(_convert(source, tmp_path / "out"))
    elsewhere.rename(file)
    result = _convert(source, tmp_path / "out")
    assert "finished already and still hashing right: 2 shards" in result.stderr, result.output
    weights = {name for name in unbroken if name.endswith(".safetensors")}
    found = _contents(tmp_path / "out")
    assert {name: found[name] for name in weights} == {name: unbroken[name] for name in weights}


def test_ctrl_c_says_how_to_go_on(
    native_folder: Path,
    tmp_path: Path,
    unbroken: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        _at_the_third_shard(patch, interrupt)
        result = _convert(native_folder, tmp_path / "out")
    assert result.exit_code == 130
    kept = tmp_path / "out.partial"
    assert f"Finished shards are kept in {kept}; the same command goes on." in result.stderr
    _assert_goes_on(native_folder, tmp_path / "out", 2, unbroken)
