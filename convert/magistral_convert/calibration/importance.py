"""How much an error in what a matrix makes of each token costs the whole model.

The loss bends by the squared gradient at a matrix's output (its Fisher information), so what GPTQ
had better lessen is the sum over tokens of that times the squared error. Gradients of some tokens
say too little of wide inputs, so half of each H is of all tokens alike and half of the weighted.

The embedding has no inputs to go by. An error in a row of it costs what the gradients g at the
first layer say, e (sum of g gᵀ) eᵀ, so that sum is its H.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from magistral_convert.output.files import write_file
from magistral_convert.output.shards import Fault
from magistral_convert.progress import Watcher
from magistral_convert.rounding.dense import library, product
from magistral_convert.rounding.feedback import FloatArray, IndexArray
from magistral_convert.sources.layer_weights import TokenArray, head_name
from magistral_convert.sources.source import Source
from mlx_magistral.model.config import ModelConfig

from .gradients import Gradient, stream_gradients
from .layer import MATRICES

# On six layers of one real model, 8,192 tokens all of which were measured, this left 0.90 of the KL
# that equal weights left, and 0.95 where one in four was measured; without the other half 0.97.
_SHARE = 0.5
# A row of tokens is one of those that go there and back, until there are so many of them.
_LEAST_TOKENS, _TOKENS_A_COLUMN = 16384, 4
# So many at once: their hidden states between all layers are held together.
_GROUP_TOKENS, _BATCH_TOKENS = 8192, 1024
_HEAD = -1


@dataclass(frozen=True)
class Squares:
    """What the gradients of some rows of tokens add up to."""

    of_outputs: FloatArray  # (7 matrices a layer and the head, rows, L): squared, of each token
    of_embedding: FloatArray  # (D, D): of what enters the first layer, how they go together


class TokenImportance:
    """Weights of the calibration tokens (N, L), measured the first time they are asked for.

    They are kept in ``file``, a .npz, for a later run.
    """

    def __init__(
        self,
        source: Source,
        sequences: TokenArray,
        file: Path,
        watcher: Watcher,
        fault: Fault = lambda step: None,
    ) -> None:
        self._source = source
        self._sequences = sequences
        self._file = file
        self._watcher = watcher
        self._fault = fault
        self._squares: Squares | None = None

    def of_matrix(self, layer: int, name: str) -> FloatArray:
        """Of what a matrix of a layer makes of each token."""
        return self._weights(_place(layer, name))

    def of_head(self) -> FloatArray:
        """Of each token's logits."""
        return self._weights(_HEAD)

    def of_embedding(self) -> tuple[FloatArray, int]:
        """How much an error in an embedded token costs: H (D, D), a sum over so many tokens."""
        squares = self.measure()
        return squares.of_embedding, squares.of_outputs[0].size

    def measure(self) -> Squares:
        """The gradients of some rows of tokens, squared."""
        if self._squares is None:
            self._squares = self._kept()
        if self._squares is None:
            self._squares = self._measured()
            data = io.BytesIO()
            np.savez(data, **vars(self._squares))
            write_file(self._file, data.getvalue(), self._fault)
        return self._squares

    def _weights(self, place: int) -> FloatArray:
        """1, and for those measured more by their squared gradient, as much in all as the ones."""
        squares = self.measure().of_outputs[place]
        weights = np.ones(self._sequences.shape, np.float32)
        total = float(squares.sum())
        if total > 0:
            ratio = _SHARE / (1 - _SHARE)
            weights[self._rows] += squares * (ratio * weights.size / total)
        return weights

    @property
    def _rows(self) -> IndexArray:
        """The rows that are measured: from all over the text, whose kinds follow one another."""
        rows, length = self._sequences.shape
        count = min(rows, -(-importance_tokens(self._source.config) // length))
        return np.linspace(0, rows - 1, count).round().astype(np.int64)

    def _kept(self) -> Squares | None:
        try:
            with self._file.open("rb") as file, np.load(file) as found:
                return Squares(**found)
        except (OSError, ValueError, EOFError, BadZipFile):
            return None  # none yet, or damaged since

    def _measured(self) -> Squares:
        tokens = self._sequences[self._rows]
        places, dim = len(MATRICES) * self._source.config.n_layers + 1, self._source.config.dim
        squares = np.zeros((places, *tokens.shape), np.float32)
        embedding = np.zeros((dim, dim), np.float32)
        for group in _spans(len(tokens), tokens.shape[1], _GROUP_TOKENS):
            part = tokens[group]
            batches = _spans(len(part), tokens.shape[1], _BATCH_TOKENS)

            def add(
                gradient: Gradient,
                found: FloatArray = squares[:, group],  # a view
                batches: list[slice] = batches,
            ) -> None:
                xp, outputs = library(gradient.outputs), gradient.outputs
                of_token = np.asarray(xp.sum(outputs * outputs, axis=1))
                # The head comes in several blocks of rows.
                rows = found[self._place_of(gradient.module), batches[gradient.batch]]
                rows += of_token.reshape(rows.shape)

            texts = [part[batch] for batch in batches]
            for entering in stream_gradients(self._source, texts, add, self._watcher, "importance"):
                rows = entering.reshape(-1, dim)
                embedding += np.asarray(product(rows.T, rows))
        return Squares(squares, embedding)

    def _place_of(self, module: str) -> int:
        if f"{module}.weight" == head_name(self._source):
            return _HEAD
        _, _, layer, inside = module.split(".", 3)
        return _place(int(layer), inside)


def importance_tokens(config: ModelConfig) -> int:
    """How many tokens it takes to weigh the inputs of a model of this width."""
    return max(_LEAST_TOKENS, _TOKENS_A_COLUMN * config.dim)


def importance_bytes(config: ModelConfig, layer: int, largest: int) -> int:
    """Memory of measuring, for so many weights in a layer and in its largest matrix.

    Hidden states between all layers; then a layer as it is stored, a matrix in float32, and what
    one batch is inside the MLP and beside it, or that batch's logits with a block's worked on.
    """
    hidden = 2 * _GROUP_TOKENS * config.dim * (config.n_layers + 1)
    activations = 4 * _BATCH_TOKENS * (7 * config.hidden_dim + 8 * config.dim)
    in_layer = 2 * layer + 4 * largest + activations
    return hidden + max(in_layer, 2 * 4 * _BATCH_TOKENS * config.vocab_size)


def _place(layer: int, name: str) -> int:
    return len(MATRICES) * layer + MATRICES.index(name)


def _spans(rows: int, length: int, tokens: int) -> list[slice]:
    step = max(1, tokens // length)
    return [slice(begin, min(begin + step, rows)) for begin in range(0, rows, step)]
