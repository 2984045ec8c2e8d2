"""From tensor shapes and a recipe to the exact files of the output, before a byte is written.

Sizes are exact, so free disk is checked against the real need and shard names can carry their
count from the start. What the plan costs in time only the running conversion can say.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from magistral_convert.recipe import Recipe
from mlx_magistral.model.names import quantized_shapes
from mlx_magistral.model.quant_config import QuantFormat

from .shards import ShardEntry

# A kill loses at most one shard's work: about a minute of a laptop at this size.
DEFAULT_SHARD_BYTES = 2_000_000_000
_LAYER = re.compile(r"model\.layers\.(\d+)\.")
_SAFETENSORS_DTYPES = {"bfloat16": "BF16", "float16": "F16"}


@dataclass(frozen=True)
class TensorPlan:
    """One tensor of the source and the one or three entries it becomes."""

    name: str
    shape: tuple[int, ...]
    format: QuantFormat | None
    parts: tuple[ShardEntry, ...]

    @property
    def nbytes(self) -> int:
        """Size in the output, in bytes."""
        return sum(part.nbytes for part in self.parts)


@dataclass(frozen=True)
class ShardPlan:
    """One file of the output and the tensors it holds, in order."""

    file: str
    tensors: tuple[TensorPlan, ...]

    @property
    def parts(self) -> tuple[ShardEntry, ...]:
        """The entries of the file's header, in order."""
        return tuple(part for tensor in self.tensors for part in tensor.parts)

    @property
    def nbytes(self) -> int:
        """Size of the data, in bytes, without the header."""
        return sum(tensor.nbytes for tensor in self.tensors)


@dataclass(frozen=True)
class ConversionPlan:
    """All shards of the output."""

    shards: tuple[ShardPlan, ...]

    @property
    def tensors(self) -> Iterator[TensorPlan]:
        """Every tensor in the order it is converted."""
        return (tensor for shard in self.shards for tensor in shard.tensors)

    @property
    def nbytes(self) -> int:
        """Size of all weights in the output, in bytes."""
        return sum(shard.nbytes for shard in self.shards)

    @property
    def weights(self) -> int:
        """Number of parameters."""
        return sum(prod(tensor.shape) for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Average storage of a parameter, scales and norms included."""
        return self.nbytes * 8 / self.weights


def plan_conversion(
    shapes: Mapping[str, tuple[int, ...]], recipe: Recipe, shard_bytes: int = DEFAULT_SHARD_BYTES
) -> ConversionPlan:
    """Lay out tensors (HF names, in the order they are to be written) as shards.

    A layer is never split, so a shard is a whole number of layers of about ``shard_bytes`` at most
    (a single layer or the embedding may be larger). Raises ConversionError where a tensor does not
    divide into groups.
    """
    units: list[list[TensorPlan]] = []
    previous = None
    for name, shape in shapes.items():
        unit = _unit_of(name)
        if unit != previous:
            units.append([])
        previous = unit
        units[-1].append(_plan_tensor(name, shape, recipe))
    groups: list[list[TensorPlan]] = []
    room = 0
    for tensors in units:
        size = sum(tensor.nbytes for tensor in tensors)
        if not groups or size > room:
            groups.append([])
            room = shard_bytes
        groups[-1].extend(tensors)
        room -= size
    return ConversionPlan(
        tuple(
            ShardPlan(f"model-{number:05d}-of-{len(groups):05d}.safetensors", tuple(tensors))
            for number, tensors in enumerate(groups, start=1)
        )
    )


def _unit_of(name: str) -> str:
    layer = _LAYER.match(name)
    if layer:
        return layer.group()
    return "first" if name.startswith("model.embed_tokens") else "last"


def _plan_tensor(name: str, shape: tuple[int, ...], recipe: Recipe) -> TensorPlan:
    dtype = _SAFETENSORS_DTYPES[recipe.dtype]
    format = recipe.format_of(name, shape)
    if format is None:
        return TensorPlan(name, shape, None, (ShardEntry(name, dtype, shape),))
    shapes = quantized_shapes(name, shape, format.group_size, format.bits)
    parts = tuple(
        ShardEntry(part, "U32" if part == name else dtype, size) for part, size in shapes.items()
    )
    return TensorPlan(name, shape, format, parts)
