"""Share: the part of a model that one rank holds, by heads or by layers, and what it weighs.

By heads (tensor parallel, Megatron-LM, arXiv:1909.08053): query, key and value heads and the MLP's
rows are dealt out, and each layer adds up twice. By layers (pipeline): each rank has some in a row,
and hands on what comes of them. Reads no tensor; slices.py does.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from mlx_magistral.errors import UsageError
from mlx_magistral.model.checkpoint import Checkpoint
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.inventory import TensorInfo


class Split(Enum):
    """How a model is divided among ranks."""

    HEADS = "heads"
    LAYERS = "layers"


@dataclass(frozen=True)
class Share:
    """What rank ``rank`` of ``size`` holds; ``layers`` are the first and the one after the last."""

    rank: int
    size: int
    split: Split
    layers: tuple[int, int]

    @property
    def is_first(self) -> bool:
        """Whether ids come in and logits go out here."""
        return self.rank == 0

    @property
    def is_last(self) -> bool:
        """Whether the last layer is here."""
        return self.rank == self.size - 1

    def config(self, whole: ModelConfig) -> ModelConfig:
        """The shape of what is held, as if it were a model of its own."""
        if self.split is Split.LAYERS:
            return replace(whole, n_layers=self.layers[1] - self.layers[0])
        return replace(
            whole,
            n_heads=whole.n_heads // self.size,
            n_kv_heads=whole.n_kv_heads // self.size,
            hidden_dim=whole.hidden_dim // self.size,
        )

    def place(self, name: str) -> str | None:
        """A tensor's name in this rank's model; None for one of another rank."""
        if self.split is Split.HEADS:
            return name
        found = _LAYER.match(name)
        if found is None:
            return name if self.is_first else None
        first, end = self.layers
        index = int(found[1])
        return f"model.layers.{index - first}.{found[2]}" if first <= index < end else None

    def axis(self, name: str) -> int | None:
        """The axis along which a tensor is cut, None for one that is held whole."""
        return cut_axis(name) if self.split is Split.HEADS else None

    def of(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint as far as it is held here, for planning; its tensors cannot be read."""
        tensors = {}
        for name, info in checkpoint.tensors.items():
            place = self.place(name)
            if place is not None:
                tensors[place] = self._cut(info)
        return replace(checkpoint, config=self.config(checkpoint.config), tensors=tensors)

    def _cut(self, info: TensorInfo) -> TensorInfo:
        axis = self.axis(info.name)
        if axis is None:
            return info
        shape = list(info.shape)
        shape[axis] //= self.size
        return replace(info, shape=tuple(shape), nbytes=info.nbytes // self.size)


_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
# By output: rows of the matrix. By input: columns, and the products are added up.
_BY_OUTPUT = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "lm_head")
_BY_INPUT = ("o_proj", "down_proj")


def cut_axis(name: str) -> int | None:
    """0 or 1 for a tensor whose module is cut by heads, None for norms and the embedding."""
    module = name.rpartition(".")[0].rpartition(".")[2]
    if module in _BY_OUTPUT:
        return 0
    return 1 if module in _BY_INPUT else None


def make_shares(
    checkpoint: Checkpoint, size: int, split: Split, limits: Sequence[int] = ()
) -> list[Share]:
    """Every rank's share; ``limits`` are the ranks' bytes, for layers in proportion to them.

    Raises UsageError for a number of ranks that does not divide the model, with those that do.
    """
    count = checkpoint.config.n_layers
    if split is Split.LAYERS:
        if size > count:
            raise UsageError(f"{size} ranks for {count} layers: take {count} at most.")
        return [
            Share(rank, size, split, span) for rank, span in enumerate(_spans(count, size, limits))
        ]
    if not divides(checkpoint, size):
        raise UsageError(_indivisible(checkpoint, size))
    return [Share(rank, size, split, (0, count)) for rank in range(size)]


def divides(checkpoint: Checkpoint, size: int) -> bool:
    """Whether so many ranks can each have the same part of heads, MLP and vocabulary."""
    config = checkpoint.config
    if config.n_kv_heads % size or config.n_heads % size or config.hidden_dim % size:
        return False
    axes = ((info.shape, cut_axis(name)) for name, info in checkpoint.tensors.items())
    return all(axis is None or shape[axis] % size == 0 for shape, axis in axes)


def _indivisible(checkpoint: Checkpoint, size: int) -> str:
    heads = checkpoint.config.n_kv_heads
    fitting = [str(each) for each in range(2, heads + 1) if divides(checkpoint, each)]
    numbers = f"Take {' or '.join(fitting)}" if fitting else "It runs on one"
    return (
        f"{size} ranks do not divide this model, which has {heads} key-value heads. {numbers}, or "
        "use --split layers, which takes any number."
    )


def _spans(count: int, size: int, limits: Sequence[int]) -> list[tuple[int, int]]:
    """Layers in a row for each rank, at least one, in proportion to what each has room for."""
    weights = list(limits) or [1] * size
    total, ends, taken = sum(weights), [], 0
    for rank in range(size):
        wanted = round(count * sum(weights[: rank + 1]) / total)
        taken = min(max(wanted, taken + 1), count - (size - 1 - rank))
        ends.append(taken)
    return list(zip([0, *ends[:-1]], ends, strict=True))
