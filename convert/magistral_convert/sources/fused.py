"""FusedSource: a model with an adapter worked into its weights, a block of rows at a time.

What is read is the inner source's; what is decoded has the update added in fp32, so that the
weights are rounded once, by the recipe. DoRA's lengths need whole rows, and blocks are whole rows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from magistral_convert.recipe import NOT_QUANTIZED, Recipe, module_path
from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.adapters.adapter import Adapter, ModuleAdapter
from mlx_magistral.model.adapters.identity import base_identity
from mlx_magistral.model.adapters.placing import require_fit
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.model.config import ModelConfig

from .source import BlockRequest, Source

_ROUNDED_AWAY = (
    "at few bits much of an adapter is rounded away: compare the result, or convert the base and "
    "answer with --adapter, which keeps all of it"
)


class FusedSource:
    """A Source like the one inside, with other numbers in it."""

    def __init__(self, inner: Source, adapter: Adapter, recipe: Recipe) -> None:
        shapes = {name: shape for name, shape in inner.shapes.items() if len(shape) == 2}
        require_fit(
            adapter,
            {module_path(name): (shape[0], shape[1]) for name, shape in shapes.items()},
            inner.shapes,
            _identity(inner.folder),
        )
        self._inner = inner
        self._adapter = adapter
        self.folder: Path = inner.folder
        self.config: ModelConfig = inner.config
        lossy = () if recipe.bits == NOT_QUANTIZED else (_ROUNDED_AWAY,)
        self.warnings = (*inner.warnings, *lossy)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See Source."""
        return self._inner.shapes

    @property
    def nbytes(self) -> int:
        """See Source."""
        return self._inner.nbytes

    @property
    def description(self) -> dict[str, Any]:
        """See Source; names the adapter too."""
        adapter = {"name": self._adapter.name, "fingerprint": self._adapter.fingerprint}
        return {**self._inner.description, "adapter": adapter}

    @property
    def modification_times(self) -> dict[str, int]:
        """See Source."""
        file = self._adapter.file
        return {**self._inner.modification_times, file.name: file.stat().st_mtime_ns}

    def row_step(self, tensor: str) -> int:
        """See Source."""
        return self._inner.row_step(tensor)

    def read(self, request: BlockRequest) -> bytes:
        """See Source."""
        return self._inner.read(request)

    def decode(self, request: BlockRequest, data: bytes) -> mx.array:
        """See Source."""
        replaced = self._adapter.weights.get(request.tensor)
        if replaced is not None:
            return replaced[request.start : request.stop]
        rows = self._inner.decode(request, data)
        change = self._adapter.modules.get(module_path(request.tensor))
        return rows if change is None else fused_rows(rows, change, request.start)


def fused_rows(rows: mx.array, change: ModuleAdapter, start: int) -> mx.array:
    """Rows from ``start`` of a matrix with the adapter in them, in fp32."""
    b = change.b[:, start : start + rows.shape[0]].astype(mx.float32)
    fused = rows.astype(mx.float32) + change.scale * (b.T @ change.a.T.astype(mx.float32))
    if change.m is None:
        return fused
    m = change.m[start : start + rows.shape[0]].astype(mx.float32)
    return fused * (m / mx.sqrt(fused.square().sum(axis=1)))[:, None]


def fuse(inner: Source, adapter: Adapter, recipe: Recipe) -> FusedSource:
    """The source with the adapter; raises AdapterError where it belongs to another model."""
    arrays = [part for each in adapter.modules.values() for part in (each.a, each.b, each.m)]
    # Read on this thread: blocks are decoded on others.
    mx.eval([part for part in arrays if part is not None], list(adapter.weights.values()))
    return FusedSource(inner, adapter, recipe)


def _identity(folder: Path) -> str | None:
    """None for a file whose headers say nothing of it (GGUF)."""
    try:
        return base_identity(open_checkpoint(folder))
    except CheckpointError:
        return None
