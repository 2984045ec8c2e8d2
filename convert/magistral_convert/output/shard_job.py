"""One shard: read its tensors block by block, store each block, prove the file.

Holds a few blocks of BLOCK_WEIGHTS weights at a time, whatever the size of the tensors.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import mlx.core as mx

from magistral_convert.progress import Watcher
from magistral_convert.recipe import NOT_QUANTIZED, Method, Recipe
from magistral_convert.rounding.methods import ColumnStatistics, store_rows
from magistral_convert.rounding.quantize import STORED_DTYPES, StoredRows
from magistral_convert.sources.source import BLOCK_WEIGHTS, BlockRequest, Source, row_blocks
from mlx_magistral.errors import ConversionError

from .manifest import ShardRecord, TensorRecord
from .plan import ShardPlan, TensorPlan
from .prefetch import work_ahead
from .shards import Fault, ShardWriter

# Feedback goes column by column, so its blocks are tall: fewer, larger steps.
_FEEDBACK_BLOCK_WEIGHTS = 64 * BLOCK_WEIGHTS
# Beyond these, reading and hashing in their one thread are what the others wait for.
_MOST_THREADS = 4


class Guide(Protocol):
    """What knows of the inputs of each matrix; the plain method needs none."""

    def statistics(self, tensor: str) -> ColumnStatistics | None:
        """Of a tensor's inputs (HF name); asked for once, in order."""

    def wrote(self, tensor: str, parts: tuple[mx.array, ...]) -> None:
        """The next rows of a tensor, as they are stored."""


def convert_shard(
    source: Source,
    shard: ShardPlan,
    recipe: Recipe,
    folder: Path,
    guide: Guide | None,
    watcher: Watcher,
    fault: Fault,
) -> ShardRecord:
    """Write one shard into ``folder`` and return its record.

    Raises ConversionError for a NaN, an infinity or a failing read, naming the tensor; OSError
    where the output cannot be written.
    """
    tallies = {tensor.name: _Tally(tensor) for tensor in shard.tensors}
    size = _FEEDBACK_BLOCK_WEIGHTS if recipe.method is Method.CALIBRATED else BLOCK_WEIGHTS
    requests = [block for name in tallies for block in row_blocks(source, name, size)]

    def read(request: BlockRequest) -> bytes:
        data = source.read(request)
        tallies[request.tensor].source_digest.update(data)
        return data

    def prepared() -> Iterator[_Block]:
        known: ColumnStatistics | None = None
        for request, data in work_ahead(requests, read):
            if request.start == 0:
                watcher.started(request.tensor)
                known = guide.statistics(request.tensor) if guide else None
            yield _Block(request, data, known)

    def store(block: _Block) -> StoredRows:
        rows = source.decode(block.request, block.data)
        format = tallies[block.request.tensor].plan.format
        begin, known = block.request.start, block.known
        if known is not None:
            known = known.of_rows(begin, begin + rows.shape[0])
        return store_rows(rows, format, STORED_DTYPES[recipe.dtype], known)

    with ShardWriter(folder / shard.file, shard.parts, fault) as writer:
        for block, stored in _computed(prepared(), store, recipe.method):
            tally = tallies[block.request.tensor]
            tally.add(stored, recipe)
            for part, array in zip(tally.plan.parts, stored.parts, strict=True):
                writer.append(part.name, array)
            if guide:
                guide.wrote(block.request.tensor, stored.parts)
            watcher.advanced(block.request.rows * prod(tally.plan.shape[1:]))
        hashes = writer.finish()
    records = {name: tally.record(recipe, hashes.tensors) for name, tally in tallies.items()}
    return ShardRecord(hashes.nbytes, hashes.sha256, records)


class _Block(NamedTuple):
    request: BlockRequest
    data: bytes
    known: ColumnStatistics | None


def _computed(
    blocks: Iterator[_Block], store: Callable[[_Block], StoredRows], method: Method
) -> Iterator[tuple[_Block, StoredRows]]:
    """Each block as it is stored; on a CPU several are computed at once.

    mlx runs one operation after another there, so other cores need threads of their own. A GPU does
    not, and the other methods' blocks are too large to have several.
    """
    if method is not Method.PLAIN or mx.default_device() != mx.Device(mx.cpu):
        return ((block, store(block)) for block in blocks)

    def store_on_cpu(block: _Block) -> StoredRows:
        with mx.stream(mx.cpu):
            return store(block)

    return work_ahead(blocks, store_on_cpu, min(_MOST_THREADS, os.cpu_count() or 1))


class _Tally:
    """What adds up over the blocks of one tensor."""

    def __init__(self, plan: TensorPlan) -> None:
        self.plan = plan
        self.source_digest: Any = hashlib.sha256()
        self._squared_error = 0.0
        self._squared_norm = 0.0
        self._loss = 0.0
        self._plain_loss = 0.0

    def add(self, stored: StoredRows, recipe: Recipe) -> None:
        if not math.isfinite(stored.squared_norm):
            raise ConversionError(
                f"{self.plan.name} holds NaN or infinity, so the source is damaged. Fetch the "
                "file again."
            )
        if not math.isfinite(stored.squared_error):
            raise ConversionError(
                f"{self.plan.name} has values beyond the range of {recipe.dtype}. Choose --dtype "
                "bfloat16."
            )
        self._squared_error += stored.squared_error
        self._squared_norm += stored.squared_norm
        self._loss += stored.loss
        self._plain_loss += stored.plain_loss

    def record(self, recipe: Recipe, hashes: dict[str, str]) -> TensorRecord:
        error = math.sqrt(self._squared_error / self._squared_norm) if self._squared_norm else 0.0
        format = self.plan.format
        return TensorRecord(
            bits=format.bits if format else NOT_QUANTIZED,
            group_size=format.group_size if format else None,
            method=str(recipe.method) if format else "cast",
            error=_rounded(error),
            loss_to_plain=_rounded(self._loss / self._plain_loss) if self._plain_loss else None,
            source_sha256=self.source_digest.hexdigest(),
            sha256={part.name: hashes[part.name] for part in self.plan.parts},
        )


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
