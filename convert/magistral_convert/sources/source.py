"""What a conversion reads: tensors by HF name, a block of rows at a time.

Reading is split in two. ``read`` takes bytes from the disk and may run in another thread; it never
touches mlx. ``decode`` makes them an array in HF layout in the thread that computes, so on Metal no
file read ever waits inside a GPU command buffer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import mlx.core as mx

from mlx_magistral.model.config import ModelConfig

# Arrays of 1 MB stay in a CPU's caches and in the heap: 2**22 weights take 1.7 times as long.
BLOCK_WEIGHTS = 1 << 18


@dataclass(frozen=True)
class BlockRequest:
    """Rows ``start`` to ``stop`` of one tensor."""

    tensor: str
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many they are."""
        return self.stop - self.start


class Source(Protocol):
    """Any kind of model that can be converted."""

    folder: Path
    config: ModelConfig
    warnings: tuple[str, ...]

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """HF name -> shape of every tensor, in the order of the model."""

    @property
    def nbytes(self) -> int:
        """Size of all tensors in the source, in bytes."""

    @property
    def description(self) -> dict[str, Any]:
        """Kind, and each file's size and header hash: what conversion.json tells of the source."""

    @property
    def modification_times(self) -> dict[str, int]:
        """When each file last changed, in nanoseconds: notices a change without reading it all."""

    def row_step(self, tensor: str) -> int:
        """How many rows belong together; blocks begin and end on multiples of it."""

    def read(self, request: BlockRequest) -> bytes:
        """The stored bytes of some rows. Raises ConversionError where the disk fails."""

    def decode(self, request: BlockRequest, data: bytes) -> mx.array:
        """The rows as a float array in HF layout."""


def row_blocks(
    source: Source, tensor: str, block_weights: int = BLOCK_WEIGHTS
) -> list[BlockRequest]:
    """Split a tensor into blocks of about so many weights; a vector is one block."""
    shape = source.shapes[tensor]
    rows = shape[0]
    width = shape[1] if len(shape) == 2 else 1
    step = source.row_step(tensor)
    rows_a_block = max(step, block_weights // width // step * step)
    return [
        BlockRequest(tensor, start, min(start + rows_a_block, rows))
        for start in range(0, rows, rows_a_block)
    ]
