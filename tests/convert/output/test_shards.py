"""The streamed safetensors writer, read back by mlx and checked byte by byte."""

from pathlib import Path

import mlx.core as mx
import pytest

from magistral_convert.output.shards import ShardEntry, ShardWriter, hash_shard
from mlx_magistral.errors import ConversionError

_TENSORS = (
    ShardEntry("a.weight", "U32", (4, 8)),
    ShardEntry("a.scales", "BF16", (4, 2)),
    ShardEntry("norm.weight", "F16", (6,)),
)


def _quiet(step: str) -> None:
    pass


def _write(path: Path) -> dict[str, mx.array]:
    arrays = {
        "a.weight": mx.random.randint(0, 1 << 31, (4, 8)).astype(mx.uint32),
        "a.scales": mx.random.normal((4, 2)).astype(mx.bfloat16),
        "norm.weight": mx.random.normal((6,)).astype(mx.float16),
    }
    with ShardWriter(path, _TENSORS, _quiet) as writer:
        for half in (slice(0, 2), slice(2, 4)):
            for name in ("a.scales", "a.weight"):
                writer.append(name, mx.contiguous(arrays[name][half]))
        writer.append("norm.weight", arrays["norm.weight"])
        writer.finish()
    return arrays


def test_mlx_reads_what_was_streamed_in_any_order(tmp_path: Path) -> None:
    arrays = _write(tmp_path / "s.safetensors")
    loaded, metadata = mx.load(str(tmp_path / "s.safetensors"), return_metadata=True)
    assert metadata == {"format": "mlx"}
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert mx.array_equal(loaded[name], array)


def test_every_byte_changes_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    _write(path)
    data = path.read_bytes()
    good = hash_shard(path)
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        try:
            assert hash_shard(path) != good
        except ConversionError:
            continue  # the header itself cannot be read any more


def test_a_file_cut_or_grown_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    _write(path)
    data = path.read_bytes()
    good = hash_shard(path)
    path.write_bytes(data[:-1])
    assert hash_shard(path) != good
    path.write_bytes(data + b"\0")
    with pytest.raises(ConversionError, match="longer than its header"):
        hash_shard(path)


def test_an_unfinished_shard_keeps_its_temporary_name(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    with ShardWriter(path, _TENSORS, _quiet) as writer:
        writer.append("norm.weight", mx.zeros((6,), dtype=mx.float16))
    assert [found.name for found in tmp_path.iterdir()] == ["s.safetensors.tmp"]


def test_a_disk_that_lies_is_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"

    def flip_a_bit(step: str) -> None:
        if step.endswith("renamed"):
            data = bytearray(path.read_bytes())
            data[-1] ^= 4
            path.write_bytes(data)

    with ShardWriter(path, _TENSORS[2:], flip_a_bit) as writer:
        writer.append("norm.weight", mx.zeros((6,), dtype=mx.float16))
        with pytest.raises(ConversionError, match=r"reads back differently.*norm\.weight"):
            writer.finish()


def test_what_fails_behind_the_computing_is_raised(tmp_path: Path) -> None:
    def fail(step: str) -> None:
        if step.endswith("continued"):
            raise OSError(28, "No space left on device")

    entry = ShardEntry("a", "F32", (64, 8))
    with (
        pytest.raises(OSError, match="No space left"),
        ShardWriter(tmp_path / "a.safetensors", [entry], fail) as writer,
    ):
        writer.append("a", mx.zeros((64, 8)))
        writer.finish()
    assert not (tmp_path / "a.safetensors").exists()
