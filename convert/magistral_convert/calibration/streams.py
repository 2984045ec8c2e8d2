"""Calibration text on its way through the layers, alone or beside what the result makes of it.

Hidden states wait between layers in bfloat16, as a list of batches with one array (B, L, D) a side.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Protocol

import mlx.core as mx

from magistral_convert.output.written import WrittenTensors
from magistral_convert.rounding.dense import Array, as_mlx, working
from magistral_convert.rounding.feedback import FloatArray
from magistral_convert.sources.layer_weights import TokenArray, embed, read_layer, read_tensor
from magistral_convert.sources.source import Source
from mlx_magistral.model.config import ModelConfig

from .column_sums import ColumnSums, is_foretold
from .importance import TokenImportance
from .kernels import rms_norm
from .layer import (
    AFTER,
    ATTENTION_INPUTS,
    ATTENTION_OUTPUT,
    MLP_INPUTS,
    MLP_OUTPUT,
    Names,
    Weights,
    add_output,
    inner_inputs,
    layer_forward,
    normed_inputs,
    stage_of,
)

# Tokens that go through a layer at once.
BATCH_TOKENS = 2048
_BEFORE: dict[Names, Names] = {after: before for before, after in AFTER.items()}
# Attention's of Magistral fit in, and are gone before its MLP, which takes more, is worked on.
_MOST_KEPT_BYTES = 2 << 30

Batch = tuple[mx.array, ...]


class Side(IntEnum):
    """The place of each in a batch."""

    SOURCE = 0
    RESULT = 1


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
            (embed(self._source, rows).astype(mx.bfloat16),) for rows in _batches(sequences)
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
        return _head_sums(self._source, self.hidden, None, has_curvature=False)

    def _pass(self, layer: int) -> None:
        self._sums = {}
        weights = read_layer(self._source, layer)

        def gather(names: Names, inputs: mx.array) -> None:
            shared = self._sums.get(names[0]) or ColumnSums(has_curvature=False)
            shared.add(inputs, inputs)
            self._sums.update(dict.fromkeys(names, shared))

        for number, (states,) in enumerate(self.hidden):
            after = layer_forward(weights, working(states), self._source.config, gather)
            self.hidden[number] = (as_mlx(after).astype(mx.bfloat16),)
            mx.eval(self.hidden[number])
        self._passed = layer


class PairedStream:
    """The source and the result so far, side by side, up to the matrix that is next.

    A layer goes in four stages, because what reaches a matrix of the result depends on those just
    written: attention's inputs, its output, the MLP's inputs, its output. What leads to an output
    is kept from its sums until the layer goes on, or computed again where it is too large for that.
    """

    def __init__(
        self, source: Source, written: WrittenTensors, importance: TokenImportance | None = None
    ) -> None:
        self._source = source
        self._written = written
        self._importance = importance
        self._is_past_attention = False
        self._name = ""
        self._sums: ColumnSums | None = None
        self._inner: dict[tuple[Side, int], Array] = {}  # of a side and batch
        self.hidden: list[Batch] = []

    def start(self, sequences: TokenArray) -> None:
        """See Stream."""
        self.hidden = [
            tuple(
                states.astype(mx.bfloat16)
                for states in (embed(self._source, rows), self._written.embed(rows))
            )
            for rows in _batches(sequences)
        ]

    def sums(self, layer: int, name: str) -> ColumnSums:
        """See Stream; what is asked for must come after what is written."""
        if self._sums is None or name != self._name:
            stage = stage_of(name)
            if stage in (MLP_INPUTS, MLP_OUTPUT) and not self._is_past_attention:
                self._add_output(layer, ATTENTION_INPUTS)
            self._sums = None  # freed before the next are made
            self._name, self._sums = name, self._gathered(layer, name)
        return self._sums

    def leave(self, layer: int) -> None:
        """See Stream."""
        self._sums = None
        if not self._is_past_attention:
            self._add_output(layer, ATTENTION_INPUTS)
        self._add_output(layer, MLP_INPUTS)

    def head_sums(self) -> ColumnSums:
        """See Stream."""
        counts = None if self._importance is None else self._importance.of_head()
        return _head_sums(self._source, self.hidden, counts, has_curvature=True)

    def _gathered(self, layer: int, name: str) -> ColumnSums:
        """What reaches a matrix, on both sides where what the result lacks is made good.

        q, k and v share their inputs, gate and up as well; but not how much each token counts.
        """
        stage = stage_of(name)
        before = _BEFORE.get(stage)
        tokens = sum(states.shape[0] * states.shape[1] for states, _ in self.hidden)
        has_drift = gathered_sides(self._source.config, tokens, stage) == len(Side)
        sides = list(Side) if has_drift else [Side.RESULT]
        weights = {side: self._weights(layer, before or (), side) for side in sides}
        sums = ColumnSums(has_curvature=True, has_drift=has_drift)
        is_kept = is_inner_kept(self._source.config, tokens, stage)
        counts = None if self._importance is None else self._importance.of_matrix(layer, name)
        for number, (batch, count) in enumerate(_counted(self.hidden, counts)):
            states = [working(batch[side]) for side in sides]
            if before is None:
                inputs = [
                    normed_inputs(weights[side], own, stage, self._source.config)
                    for side, own in zip(sides, states, strict=True)
                ]
                sums.add(inputs[0], inputs[-1], count)
                continue
            inputs = [
                inner_inputs(weights[side], own, before, self._source.config)
                for side, own in zip(sides, states, strict=True)
            ]
            if is_kept:
                kept = zip(sides, inputs, strict=True)
                self._inner.update({(side, number): own for side, own in kept})
            lag = (states[0] - states[-1]).reshape(len(inputs[0]), -1)
            sums.add(inputs[0], inputs[-1], count, lag)
        return sums

    def _add_output(self, layer: int, before: Names) -> None:
        """Send both sides through attention or the MLP, one after the other."""
        after = AFTER[before]
        for side in Side:
            weights = self._weights(layer, before + after, side)
            for number, batch in enumerate(self.hidden):
                states = working(batch[side])
                inner = self._inner.pop((side, number), None)
                if inner is None:
                    inner = inner_inputs(weights, states, before, self._source.config)
                output = as_mlx(add_output(weights, states, after, inner)).astype(mx.bfloat16)
                mx.eval(output)
                self.hidden[number] = (*batch[:side], output, *batch[side + 1 :])
        self._is_past_attention = before == ATTENTION_INPUTS

    def _weights(self, layer: int, names: Names, side: Side) -> Weights:
        """The norms and the named matrices of a layer, as the source has them or as written."""
        prefix = f"model.layers.{layer}."
        norms = {
            name.removeprefix(prefix): read_tensor(self._source, name)
            for name, shape in self._source.shapes.items()
            if name.startswith(prefix) and len(shape) == 1
        }
        matrices = [f"{name}.weight" for name in names]
        if side is Side.SOURCE:
            return norms | {name: read_tensor(self._source, prefix + name) for name in matrices}
        return norms | {name: self._written.read(prefix + name) for name in matrices}


def is_inner_kept(config: ModelConfig, tokens: int, names: Names) -> bool:
    """Whether what so many tokens bring to ATTENTION_OUTPUT or MLP_OUTPUT stays in memory."""
    return inner_bytes(config, tokens, names) <= _MOST_KEPT_BYTES


def inner_bytes(config: ModelConfig, tokens: int, names: Names) -> int:
    """The inputs of ATTENTION_OUTPUT or MLP_OUTPUT in float32, of the sides that are gathered."""
    return gathered_sides(config, tokens, names) * 4 * tokens * input_columns(config, names)


def gathered_sides(config: ModelConfig, tokens: int, names: Names) -> int:
    """Whether the source's inputs of these matrices are asked for beside the result's: 2, or 1."""
    return 2 if is_foretold(input_columns(config, names), tokens) else 1


def input_columns(config: ModelConfig, names: Names) -> int:
    """How wide the inputs of these matrices are."""
    if names == MLP_OUTPUT:
        return config.hidden_dim
    return config.n_heads * config.head_dim if names == ATTENTION_OUTPUT else config.dim


def _batches(sequences: TokenArray) -> list[TokenArray]:
    step = max(1, BATCH_TOKENS // sequences.shape[1])
    return [sequences[begin : begin + step] for begin in range(0, len(sequences), step)]


def _head_sums(
    source: Source, hidden: list[Batch], counts: FloatArray | None, *, has_curvature: bool
) -> ColumnSums:
    gain = read_tensor(source, "model.norm.weight")
    tokens = sum(batch[0].shape[0] * batch[0].shape[1] for batch in hidden)
    has_drift = has_curvature and is_foretold(source.config.dim, tokens)
    sums = ColumnSums(has_curvature=has_curvature, has_drift=has_drift)
    for batch, count in _counted(hidden, counts):
        flat = (working(states).reshape(-1, states.shape[-1]) for states in batch)
        inputs = [rms_norm(rows, gain, source.config.norm_eps) for rows in flat]
        sums.add(inputs[0], inputs[-1], count)
    return sums


def _counted(
    hidden: list[Batch], counts: FloatArray | None
) -> Iterator[tuple[Batch, FloatArray | None]]:
    """Each batch with how often its tokens count, of (N, L) in all; None where all count once."""
    begin = 0
    for batch in hidden:
        end = begin + batch[0].shape[0]
        part = None if counts is None else counts[begin:end].reshape(-1)
        yield batch, None if part is None or (part == 1).all() else part
        begin = end
