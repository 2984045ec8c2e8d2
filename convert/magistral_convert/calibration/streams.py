"""Calibration text on its way through the layers of the source alone.

Hidden states wait between layers in bfloat16, as a list of batches with one array (B, L, D) a side.
"""

from typing import Protocol

import mlx.core as mx

from magistral_convert.rounding.dense import Array, as_mlx, working
from magistral_convert.sources.layer_weights import TokenArray, embed, read_layer, read_tensor
from magistral_convert.sources.source import Source

from .column_sums import ColumnSums
from .kernels import rms_norm
from .layer import Names, layer_forward

# Tokens that go through a layer at once.
BATCH_TOKENS = 2048

Batch = tuple[mx.array, ...]


class Stream(Protocol):
    """What a calibration asks of either kind; layers come in order."""

    hidden: list[Batch]

    def start(self, sequences: TokenArray) -> None:
        """Let the embedded tokens be what enters the first layer."""

    def sums(self, layer: int, name: str) -> ColumnSums:
        """What reaches the matrix ``name`` of the layer the hidden states are at."""

    def leave(self, layer: int) -> None:
        """Let the hidden states be those after the layer."""

    def head_sums(self) -> ColumnSums:
        """What reaches the head, after the last layer was left."""


class SourceStream:
    """The source alone, a whole layer in one pass: which columns of each matrix matter."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._passed: int | None = None
        self._sums: dict[str, ColumnSums] = {}
        self.hidden: list[Batch] = []

    def start(self, sequences: TokenArray) -> None:
        """See Stream."""
        self.hidden = [
            (embed(self._source, rows).astype(mx.bfloat16),) for rows in in_batches(sequences)
        ]

    def sums(self, layer: int, name: str) -> ColumnSums:
        """See Stream."""
        if self._passed != layer:
            self._pass(layer)
        return self._sums[name]

    def leave(self, layer: int) -> None:
        """See Stream."""
        if self._passed != layer:
            self._pass(layer)
        self._sums = {}

    def head_sums(self) -> ColumnSums:
        """See Stream."""
        sums = ColumnSums(has_curvature=False)
        for (states,) in self.hidden:
            sums.add(head_inputs(self._source, states))
        return sums

    def _pass(self, layer: int) -> None:
        self._sums = {}
        weights = read_layer(self._source, layer)

        def gather(names: Names, inputs: mx.array) -> None:
            shared = self._sums.get(names[0]) or ColumnSums(has_curvature=False)
            shared.add(inputs)
            self._sums.update(dict.fromkeys(names, shared))

        for number, (states,) in enumerate(self.hidden):
            after = layer_forward(weights, working(states), self._source.config, gather)
            self.hidden[number] = (as_mlx(after).astype(mx.bfloat16),)
            mx.eval(self.hidden[number])
        self._passed = layer


def in_batches(sequences: TokenArray) -> list[TokenArray]:
    """Rows of tokens (N, L) in the parts that go through a layer together."""
    step = max(1, BATCH_TOKENS // sequences.shape[1])
    return [sequences[begin : begin + step] for begin in range(0, len(sequences), step)]


def head_inputs(source: Source, states: mx.array) -> Array:
    """What the head sees (tokens, D) of the hidden states (B, L, D) after the last layer."""
    gain = read_tensor(source, "model.norm.weight")
    rows = working(states).reshape(-1, states.shape[-1])
    return rms_norm(rows, gain, source.config.norm_eps)
