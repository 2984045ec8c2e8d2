"""The arrays of one prefix entry as a safetensors file, written and read one array at a time.

Neither way holds more than one array beside what the caller has: prefixes come in gigabytes.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import mlx.core as mx

# The arrays of each layer, as KVCache.state has them: tokens are the last axis but one.
Layers = list[tuple[mx.array, ...]]

_READ_BYTES = 1 << 20
_DTYPES = {mx.bfloat16: "BF16", mx.float16: "F16", mx.float32: "F32", mx.uint32: "U32"}


def span_bytes(layers: Layers, start: int, end: int) -> int:
    """Bytes of the tokens from ``start`` to ``end`` in all layers."""
    return sum(
        array.nbytes // array.shape[2] * (end - start) for arrays in layers for array in arrays
    )


def write_layers(
    file: Path, layers: Layers, start: int, end: int, is_wanted: Callable[[], bool]
) -> int | None:
    """Write those tokens; returns the CRC-32 of the file, None where it was not wanted any more.

    Raises OSError where the disk refuses.
    """
    names = {f"{i}.{j}": each for i, arrays in enumerate(layers) for j, each in enumerate(arrays)}
    with file.open("wb") as stream:
        checksum = _write(stream, 0, _header(names, end - start))
        for array in names.values():
            if not is_wanted():
                return None
            part = mx.contiguous(array[..., start:end, :])
            checksum = _write(stream, checksum, memoryview(part.view(mx.uint8)))  # type: ignore[arg-type]
    return checksum


def read_layers(files: Sequence[Path], lengths: Sequence[int]) -> Layers:
    """So many tokens of each file, one after the other, joined. Raises OSError or RuntimeError."""
    stored = []
    for file in files:
        loaded = mx.load(str(file), stream=mx.cpu)
        assert isinstance(loaded, dict)
        stored.append(loaded)
    layers: Layers = []
    while f"{len(layers)}.0" in stored[0]:
        layers.append(tuple(_joined(stored, lengths, len(layers))))
    return layers


def checksum_of(file: Path) -> int:
    """CRC-32: finds damage, at gigabytes a second; against forgery it does nothing."""
    value = 0
    with file.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            value = zlib.crc32(block, value)
    return value


def _header(arrays: dict[str, mx.array], tokens: int) -> bytes:
    entries, place = {}, 0
    for name, array in arrays.items():
        shape = [*array.shape[:2], tokens, array.shape[3]]
        nbytes = array.nbytes // array.shape[2] * tokens
        offsets = [place, place + nbytes]
        entries[name] = {"dtype": _DTYPES[array.dtype], "shape": shape, "data_offsets": offsets}
        place += nbytes
    content = json.dumps(entries).encode()
    content += b" " * (-len(content) % 8)  # the arrays begin where eight bytes do
    return len(content).to_bytes(8, "little") + content


def _write(stream: BinaryIO, checksum: int, content: bytes | memoryview) -> int:
    stream.write(content)
    return zlib.crc32(content, checksum)


def _joined(
    stored: Sequence[dict[str, mx.array]], lengths: Sequence[int], layer: int
) -> Iterator[mx.array]:
    """The arrays of a layer, each done and its parts let go before the next is read."""
    part = 0
    while f"{layer}.{part}" in stored[0]:
        parts = [
            arrays.pop(f"{layer}.{part}")[..., :length, :]
            for arrays, length in zip(stored, lengths, strict=True)
        ]
        whole = parts[0] if len(parts) == 1 else mx.concatenate(parts, axis=2)
        del parts
        mx.eval(whole)
        yield whole
        part += 1
