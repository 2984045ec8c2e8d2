"""Memory bandwidth: the limit of decode at batch 1, where each id reads all weights once."""

import re
import statistics
import time
from typing import NamedTuple

import mlx.core as mx

# GB/s of unified memory. Source: Apple's technical specifications of the Macs with each chip; where
# a chip comes in two widths it is the wider one's, so that a share of it is never flattered.
_CHIPS = {
    "M1": 68.25,
    "M1 Pro": 200.0,
    "M1 Max": 400.0,
    "M1 Ultra": 800.0,
    "M2": 100.0,
    "M2 Pro": 200.0,
    "M2 Max": 400.0,
    "M2 Ultra": 800.0,
    "M3": 100.0,
    "M3 Pro": 150.0,
    "M3 Max": 400.0,
    "M3 Ultra": 819.0,
    "M4": 120.0,
    "M4 Pro": 273.0,
    "M4 Max": 546.0,
    "M5": 153.0,
}
_COPY_BYTES = 1 << 28
_COPIES = 5
# In one evaluation: a fast GPU copies 256 MiB in the time that starting it takes.
_COPIES_AN_EVALUATION = 8


class Bandwidth(NamedTuple):
    """Bytes a second, and where the number is from."""

    bytes_per_s: float
    source: str


def machine_bandwidth() -> Bandwidth:
    """The chip's published figure, or that of a large copy where the chip is not known."""
    name = ""
    if mx.default_device() == mx.gpu:
        name = str(mx.device_info().get("device_name", ""))
    published = chip_bandwidth(name)
    if published is not None:
        return Bandwidth(published * 1e9, f"{name}, published")
    return Bandwidth(_copy_bandwidth(), "measured by a copy")


def chip_bandwidth(name: str) -> float | None:
    """GB/s of a chip by the name that Metal gives, such as ``Apple M4 Pro``."""
    match = re.fullmatch(r"Apple (M\d+(?: (?:Pro|Max|Ultra))?)", name.strip())
    return _CHIPS.get(match[1]) if match else None


def _copy_bandwidth() -> float:
    """Bytes read and written by copies of 256 MiB, eight in a row, over the median time of five."""
    source = mx.zeros((_COPY_BYTES // 4,), dtype=mx.uint32)
    mx.eval(source)
    seconds = []
    for _ in range(_COPIES + 1):
        started = time.perf_counter()
        copied = source
        for _ in range(_COPIES_AN_EVALUATION):
            copied = copied + 1
        mx.eval(copied)
        seconds.append(time.perf_counter() - started)
    return _COPIES_AN_EVALUATION * 2 * _COPY_BYTES / statistics.median(seconds[1:])
