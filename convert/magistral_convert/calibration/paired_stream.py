"""Calibration text on its way through the layers of the source, beside the result so far."""

from collections.abc import Iterator, Sequence
from enum import IntEnum

import mlx.core as mx

from magistral_convert.output.written import WrittenTensors
from magistral_convert.rounding.dense import Array, as_mlx, product, working
from magistral_convert.rounding.feedback import FloatArray
from magistral_convert.sources.layer_weights import TokenArray, embed, read_tensor
from magistral_convert.sources.source import Source

from .column_sums import ColumnSums, column_spans
from .importance import TokenImportance
from .layer import (
    AFTER,
    ATTENTION_INPUTS,
    MLP_INPUTS,
    MLP_OUTPUT,
    Names,
    Weights,
    add_output,
    inner_inputs,
    normed_inputs,
    stage_of,
)
from .stage_sizes import has_lacks, is_inner_kept
from .streams import Batch, head_inputs, in_batches

_BEFORE: dict[Names, Names] = {after: before for before, after in AFTER.items()}


class Side(IntEnum):
    """The place of each in a batch."""

    SOURCE = 0
    RESULT = 1


class PairedStream:
    """The source and the result so far, side by side, up to the matrix that is next.

    A layer goes in four stages, because what reaches a matrix of the result depends on those just
    written: attention's inputs, its output, the MLP's inputs, its output. Where the source's output
    is computed to see what the result will lack, the source goes on with it; what leads to the
    result's is kept until that goes on, or computed again where it is too large for that.
    """

    def __init__(
        self, source: Source, written: WrittenTensors, importance: TokenImportance | None = None
    ) -> None:
        self._source = source
        self._written = written
        self._importance = importance
        self._is_past_attention = False
        self._is_source_ahead = False  # past the attention or the MLP that the result is before
        self._name = ""
        self._sums: ColumnSums | None = None
        self._alike: ColumnSums | None = None  # of the stage's inputs, all tokens counting once
        self._inner: dict[int, Array] = {}  # of the result, by batch
        self.hidden: list[Batch] = []

    def start(self, sequences: TokenArray) -> None:
        """See Stream."""
        self.hidden = [
            tuple(
                states.astype(mx.bfloat16)
                for states in (embed(self._source, rows), self._written.embed(rows))
            )
            for rows in in_batches(sequences)
        ]

    def sums(self, layer: int, name: str) -> ColumnSums:
        """See Stream; what is asked for must come after what is written."""
        if self._sums is None or name != self._name:
            stage = stage_of(name)
            if stage in (MLP_INPUTS, MLP_OUTPUT) and not self._is_past_attention:
                self._add_output(layer, ATTENTION_INPUTS)
            self._sums = None  # freed before the next are made
            gathered = self._of_inner if stage in _BEFORE else self._of_normed
            self._name, self._sums = name, gathered(layer, name)
        return self._sums

    def leave(self, layer: int) -> None:
        """See Stream."""
        self._sums = None
        if not self._is_past_attention:
            self._add_output(layer, ATTENTION_INPUTS)
        self._add_output(layer, MLP_INPUTS)

    def head_sums(self) -> ColumnSums:
        """See Stream."""
        sums = ColumnSums(has_curvature=True)
        counts = None if self._importance is None else self._importance.of_head()
        for batch, part in zip(self.hidden, _by_batch(self.hidden, counts), strict=True):
            exact, drifted = (head_inputs(self._source, states) for states in batch)
            sums.add(drifted, self._lacks(exact, drifted), None if part is None else part.ravel())
        return sums

    @property
    def _tokens(self) -> int:
        return sum(states.shape[0] * states.shape[1] for states, _ in self.hidden)

    def _of_normed(self, layer: int, name: str) -> ColumnSums:
        """What reaches a matrix that reads hidden states.

        q, k and v share their inputs, gate and up as well; but not how much some tokens count.
        """
        stage, norms = stage_of(name), self._weights(layer, (), Side.SOURCE)
        if self._alike is None:
            self._alike = ColumnSums(has_curvature=True)
            for batch in self.hidden:
                self._alike.add(*self._normed(norms, stage, batch))
        sums = self._alike.copy()
        counts = None if self._importance is None else self._importance.of_matrix(layer, name)
        for batch, part in zip(self.hidden, _by_batch(self.hidden, counts), strict=True):
            if part is None:
                continue
            rows = (part != 1).any(axis=1).nonzero()[0]
            chosen = tuple(states[mx.array(rows)] for states in batch)
            sums.count_more(*self._normed(norms, stage, chosen), part[rows].ravel() - 1)
        return sums

    def _normed(
        self, norms: Weights, stage: Names, batch: Batch
    ) -> tuple[Array, Sequence[Array] | None]:
        """Of a batch the result's inputs (tokens, D), and what they lack."""
        exact, drifted = (
            normed_inputs(norms, working(states), stage, self._source.config) for states in batch
        )
        return drifted, self._lacks(exact, drifted)

    def _lacks(self, exact: Array, drifted: Array) -> Sequence[Array] | None:
        """What inputs (tokens, D) lack, by block; None where there are too few tokens to tell."""
        if not has_lacks(self._source.config, self._tokens, MLP_INPUTS):
            return None
        spans = [slice(*span) for span in column_spans(drifted.shape[1])]
        return [exact[:, span] - drifted[:, span] for span in spans]

    def _of_inner(self, layer: int, name: str) -> ColumnSums:
        """What reaches a matrix whose output is added to the hidden states."""
        assert not self._is_source_ahead, "it can be asked for once"
        self._alike = None
        stage, config = stage_of(name), self._source.config
        before = _BEFORE[stage]
        foretells = has_lacks(config, self._tokens, stage)
        result = self._weights(layer, before, Side.RESULT)
        source = self._weights(layer, before + stage, Side.SOURCE) if foretells else {}
        sums = ColumnSums(has_curvature=True, of_outputs=True)
        is_kept = is_inner_kept(config, self._tokens, stage)
        counts = None if self._importance is None else self._importance.of_matrix(layer, name)
        for number, part in enumerate(_by_batch(self.hidden, counts)):
            states = [working(side) for side in self.hidden[number]]
            drifted = inner_inputs(result, states[Side.RESULT], before, config)
            if is_kept:
                self._inner[number] = drifted
            lacks = None
            if foretells:
                exact = inner_inputs(source, states[Side.SOURCE], before, config)
                after, lacks = _exact_outputs(source[f"{name}.weight"], states, exact)
                self._put(number, Side.SOURCE, after)
            sums.add(drifted, lacks, None if part is None else part.ravel())
        if foretells:
            sums.take_off(working(source[f"{name}.weight"]))
        self._is_source_ahead = foretells
        return sums

    def _add_output(self, layer: int, before: Names) -> None:
        """Send both sides through attention or the MLP, one after the other."""
        self._alike = None
        after, config = AFTER[before], self._source.config
        for side in [Side.RESULT] if self._is_source_ahead else Side:
            weights = self._weights(layer, before + after, side)
            for number, batch in enumerate(self.hidden):
                states = working(batch[side])
                inner = self._inner.pop(number, None) if side is Side.RESULT else None
                if inner is None:
                    inner = inner_inputs(weights, states, before, config)
                self._put(number, side, add_output(weights, states, after, inner))
        self._is_source_ahead = False
        self._is_past_attention = before == ATTENTION_INPUTS

    def _put(self, number: int, side: Side, states: Array) -> None:
        stored = as_mlx(states).astype(mx.bfloat16)
        mx.eval(stored)
        batch = self.hidden[number]
        self.hidden[number] = (*batch[:side], stored, *batch[side + 1 :])

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


def _exact_outputs(
    matrix: mx.array, states: Sequence[Array], exact: Array
) -> tuple[Array, Sequence[Array]]:
    """The source's hidden states after a matrix (R, C), and how far they are ahead, by block.

    ``states`` (B, L, R) are both sides' before it, ``exact`` (tokens, C) its inputs in the source.
    A block has what its own columns bring, and its part of what the hidden states lack.
    """
    before = [side.reshape(len(exact), -1) for side in states]
    spans = [slice(*span) for span in column_spans(exact.shape[1])]
    share = (before[Side.SOURCE] - before[Side.RESULT]) / len(spans)
    after, ahead = before[Side.SOURCE], []
    for span in spans:
        added = product(exact[:, span], matrix[:, span].T)
        after = after + added
        ahead.append(added + share)
    return after.reshape(states[Side.SOURCE].shape), ahead


def _by_batch(hidden: list[Batch], counts: FloatArray | None) -> Iterator[FloatArray | None]:
    """How often the tokens of each batch count (B, L), of (N, L) in all; None where all do once."""
    begin = 0
    for batch in hidden:
        end = begin + batch[0].shape[0]
        part = None if counts is None else counts[begin:end]
        yield None if part is None or (part == 1).all() else part
        begin = end
