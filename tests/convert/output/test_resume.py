"""Real kills at many points; the same conversion again gives the same bytes as an unbroken one."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.progress import ConversionReport, Watcher
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral.errors import ConversionError
from tests.convert.tiny_checkpoints import native_weights, write_native

_DRIVER = Path(__file__).parents[1] / "killed_conversion.py"


def _convert(source: Path, output: Path, **options: object) -> ConversionReport:
    options.setdefault("shard_bytes", 1)
    return convert_checkpoint(open_source(source), output, Recipe(4), **options)  # type: ignore[arg-type]


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def unbroken(native_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted conversion writes."""
    output = tmp_path_factory.mktemp("unbroken") / "out"
    _convert(native_folder, output)
    return _contents(output)


@pytest.fixture(scope="module")
def steps(native_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of all steps a kill can follow, in order."""
    found: list[str] = []
    _convert(native_folder, tmp_path_factory.mktemp("steps") / "out", fault=found.append)
    return found


def _chosen(steps: list[str]) -> list[int]:
    """Every step of one shard and of the files that decide, and an even spread over the rest."""
    decisive = ("model-00003", "start.json", "conversion.json", "output")
    return [
        number
        for number, step in enumerate(steps)
        if number % 12 == 0 or (step.startswith(decisive) and not step.endswith("continued"))
    ]


def _kill_at(step: int, source: Path, output: Path) -> int:
    command = [sys.executable, str(_DRIVER), str(source), str(output), str(step)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def test_killed_anywhere_it_goes_on_to_the_same_bytes(
    native_folder: Path, tmp_path: Path, unbroken: dict[str, bytes], steps: list[str]
) -> None:
    chosen = _chosen(steps)
    assert len(chosen) >= 20
    named = {steps[number] for number in chosen}
    assert {"output: renamed", "start.json: half written", "conversion.json: renamed"} <= named
    for number in chosen:
        output = tmp_path / f"out{number}"
        assert _kill_at(number, native_folder, output) == -signal.SIGKILL, steps[number]
        if steps[number] != "output: renamed":
            assert not output.exists(), steps[number]
        _convert(native_folder, output)
        assert _contents(output) == unbroken, steps[number]
        assert not (tmp_path / f"out{number}.partial").exists()


def test_killed_again_and_again_it_still_arrives(
    native_folder: Path, tmp_path: Path, unbroken: dict[str, bytes], steps: list[str]
) -> None:
    output = tmp_path / "out"
    # Far enough for one layer's shard a run.
    one_layer = next(n for n, step in enumerate(steps) if step.startswith("model-00003"))
    kills = 0
    while _kill_at(one_layer, native_folder, output) == -signal.SIGKILL:
        kills += 1
        assert kills < 30
    assert kills >= 3
    assert _contents(output) == unbroken


class _Counter(Watcher):
    def __init__(self) -> None:
        self.tensors: list[str] = []

    def started(self, tensor: str) -> None:
        self.tensors.append(tensor)


def _stop_at(wanted: str) -> object:
    def stop(step: str) -> None:
        if step == wanted:
            raise KeyboardInterrupt

    return stop


def _begin(source: Path, output: Path, until: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        _convert(source, output, fault=_stop_at(until))


def test_finished_shards_are_not_done_again(native_folder: Path, tmp_path: Path) -> None:
    _begin(native_folder, tmp_path / "out", "model-00003-of-00005.safetensors: header written")
    counter = _Counter()
    report = _convert(native_folder, tmp_path / "out", watcher=counter)
    assert report.shards_resumed == 2
    assert counter.tensors[0].startswith("model.layers.1.")


def test_a_finished_shard_that_rotted_is_done_again(
    native_folder: Path, tmp_path: Path, unbroken: dict[str, bytes]
) -> None:
    _begin(native_folder, tmp_path / "out", "model-00003-of-00005.safetensors: header written")
    shard = tmp_path / "out.partial" / "model" / "model-00002-of-00005.safetensors"
    data = bytearray(shard.read_bytes())
    data[-5] ^= 16
    shard.write_bytes(data)
    assert _convert(native_folder, tmp_path / "out").shards_resumed == 1
    assert _contents(tmp_path / "out") == unbroken


def test_another_recipe_is_refused_and_restart_starts_over(
    native_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    _begin(native_folder, output, "model-00003-of-00005.safetensors: header written")
    source = open_source(native_folder)
    with pytest.raises(ConversionError, match=r"another recipe.*--restart"):
        convert_checkpoint(source, output, Recipe(8), shard_bytes=1)
    report = convert_checkpoint(source, output, Recipe(8), shard_bytes=1, restart=True)
    assert report.shards_resumed == 0
    assert json.loads((output / "config.json").read_text())["quantization"]["bits"] == 8


def test_a_changed_source_is_refused(tmp_path: Path) -> None:
    source = write_native(tmp_path / "source", native_weights())
    _begin(source, tmp_path / "out", "model-00003-of-00005.safetensors: header written")
    write_native(source, native_weights(seed=1))
    with pytest.raises(ConversionError, match=r"another source.*--restart"):
        _convert(source, tmp_path / "out")


def test_a_source_changed_on_the_way_is_not_published(tmp_path: Path) -> None:
    source = write_native(tmp_path / "source", native_weights())

    def replace_the_source(step: str) -> None:
        if step == "model-00003-of-00005.safetensors: header written":
            write_native(source, native_weights(seed=1))

    with pytest.raises(ConversionError, match=r"changed while it was converted.*--restart"):
        _convert(source, tmp_path / "out", fault=replace_the_source)
    assert not (tmp_path / "out").exists()


def test_a_source_that_vanishes_leaves_what_is_done(
    native_folder: Path, tmp_path: Path, unbroken: dict[str, bytes]
) -> None:
    source = tmp_path / "source"
    shutil.copytree(native_folder, source)
    file = source / "consolidated.safetensors"

    def unplug(step: str) -> None:
        if step == "model-00003-of-00005.safetensors: header written":
            file.rename(tmp_path / "elsewhere")

    with pytest.raises(ConversionError, match=r"failed: No such file.*bring the disk back"):
        _convert(source, tmp_path / "out", fault=unplug)
    (tmp_path / "elsewhere").rename(file)
    assert _convert(source, tmp_path / "out").shards_resumed == 2
    assert _contents(tmp_path / "out") == unbroken


def test_two_at_once_are_refused(native_folder: Path, tmp_path: Path) -> None:
    refusals = []

    def second(step: str) -> None:
        if step == "model-00003-of-00005.safetensors: header written":
            with pytest.raises(ConversionError, match="Another process") as caught:
                _convert(native_folder, tmp_path / "out")
            refusals.append(caught.value)

    _convert(native_folder, tmp_path / "out", fault=second)
    assert len(refusals) == 1


def test_a_disk_that_fills_half_way_keeps_what_is_done(
    native_folder: Path, tmp_path: Path, unbroken: dict[str, bytes]
) -> None:
    def fill(step: str) -> None:
        if step == "model-00004-of-00005.safetensors: flushed":
            raise OSError(28, "No space left on device")

    with pytest.raises(ConversionError, match=r"is full.*run the same command again"):
        _convert(native_folder, tmp_path / "out", fault=fill)
    assert _convert(native_folder, tmp_path / "out").shards_resumed == 3
    assert _contents(tmp_path / "out") == unbroken


def test_nothing_depends_on_what_was_computed_before(
    native_folder: Path, tmp_path: Path, unbroken: dict[str, bytes]
) -> None:
    mx.random.seed(1234)
    _convert(native_folder, tmp_path / "out")
    assert _contents(tmp_path / "out") == unbroken
