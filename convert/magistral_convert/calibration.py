"""What every matrix's inputs look like, gathered layer by layer while calibration text streams by.

Holds one layer's weights, the hidden states of all calibration tokens and the Hessians of one
layer; for Magistral 1.1 GB, 0.67 GB at 64k tokens and 1.4 GB. Layers come in order; the hidden
states between two layers can be saved, so that a killed conversion does not begin again.
"""

from collections.abc import Sequence
from math import prod
from pathlib import Path

import mlx.core as mx
import numpy as np

from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes

from .dense import product
from .feedback import FloatArray, damped_diagonal, factor_hessian
from .layer import layer_forward
from .layer_weights import TokenArray, embed, read_layer, read_tensor
from .methods import ColumnStatistics, CurvatureBlock
from .shards import Fault, ShardEntry, ShardWriter
from .source import Source

# Tokens that go through a layer at once.
_BATCH_TOKENS = 2048
# A full H of down_proj's 32,768 columns would take 4.3 GB and its Cholesky as much again; the
# blocks on the diagonal keep most of the gain.
_BLOCK_COLUMNS = 8192
# Rows being rounded, with the candidates for each; the interpreter and its libraries.
_SOLVER_BYTES = 600 << 20
_BASE_BYTES = 150 << 20
_EMBEDDING = "model.embed_tokens.weight"


def calibration_bytes(config: ModelConfig, tokens: int, *, has_curvature: bool) -> int:
    """An estimate of the memory that converting with calibration takes, in bytes.

    The largest of three moments: a layer gathering, a matrix being solved, the comparison at the
    end, in which a quantized layer is held in float32.
    """
    shapes = {n: s for n, s in expected_shapes(config).items() if n.startswith("model.layers.0.")}
    layer = sum(prod(shape) for shape in shapes.values())
    largest = max(prod(shape) for shape in shapes.values())
    hidden = 2 * tokens * config.dim
    activations = 4 * _BATCH_TOKENS * (4 * config.hidden_dim + 8 * config.dim)
    inputs = (config.dim, config.n_heads * config.head_dim, config.dim, config.hidden_dim)
    blocks = [[(end - begin) ** 2 for begin, end in column_spans(width)] for width in inputs]
    curvature = 4 * sum(map(sum, blocks)) if has_curvature else 0
    # H, its Cholesky factor and the flipped copies of one block at a time.
    solving = 3 * 4 * max(map(max, blocks)) + _SOLVER_BYTES if has_curvature else _SOLVER_BYTES
    gathering = 2 * layer + 4 * largest + activations
    comparing = 4 * layer + activations
    return _BASE_BYTES + hidden + max(curvature + max(gathering, solving), comparing)


class Calibration:
    """Statistics for one tensor after another, in the order of the model.

    ``sequences`` is (N, L) token ids; ``folder`` is where hidden states are kept for a later run.
    Without ``has_curvature`` only the importance of each column is gathered, which is all that the
    weighted search needs.
    """

    def __init__(
        self,
        source: Source,
        sequences: TokenArray,
        group_size: int,
        folder: Path,
        *,
        has_curvature: bool,
        fault: Fault = lambda step: None,
    ) -> None:
        self._source = source
        self._sequences = sequences
        self._group_size = group_size
        self._folder = folder
        self._has_curvature = has_curvature
        self._fault = fault
        self._hidden: list[mx.array] = []
        self._next_layer: int | None = None  # the one that the hidden states are about to enter
        self._inputs: dict[str, _Inputs] = {}  # of the layer they came from

    def statistics(self, tensor: str) -> ColumnStatistics | None:
        """What is known of the inputs of ``tensor``; None for a vector.

        Tensors must be asked for in the order of the model; some may be left out.
        """
        shape = self._source.shapes[tensor]
        if len(shape) != 2:
            return None
        if tensor.startswith("model.layers."):
            _, _, layer, inside = tensor.removesuffix(".weight").split(".", 3)
            if self._next_layer != int(layer) + 1:
                self._go_to(int(layer))
                self._forward(int(layer), is_gathering=True)
            return self._inputs[inside].statistics(self._group_size)
        if tensor == _EMBEDDING:
            # Its input is one row, chosen: every column weighs the same.
            return ColumnStatistics(mx.ones((shape[1],)))
        return self._head_inputs().statistics(self._group_size)

    def save(self) -> None:
        """Keep the hidden states that enter the next layer, and drop older ones."""
        if self._next_layer is None:
            return
        path = self._state_file(self._next_layer)
        entries = [
            ShardEntry(f"{place:06d}", "BF16", batch.shape)
            for place, batch in enumerate(self._hidden)
        ]
        with ShardWriter(path, entries, self._fault) as writer:
            for entry, batch in zip(entries, self._hidden, strict=True):
                writer.append(entry.name, batch)
            writer.finish()
        for other in self._folder.glob("hidden-*"):
            if other != path:
                other.unlink()

    def _go_to(self, layer: int) -> None:
        """Let the hidden states be those that enter ``layer``."""
        if self._next_layer is None:
            if not self._load(layer):
                self._start()
        while self._next_layer is not None and self._next_layer < layer:
            self._forward(self._next_layer, is_gathering=False)
        assert self._next_layer == layer, "layers must come in order"

    def _load(self, layer: int) -> bool:
        path = self._state_file(layer)
        if not path.exists():
            return False
        try:
            loaded = mx.load(str(path), stream=mx.cpu)
            assert isinstance(loaded, dict)
            hidden = [loaded[name] for name in sorted(loaded)]
            mx.eval(hidden)
        except RuntimeError:
            return False  # damaged since it was written; going through the layers makes it again
        self._hidden = hidden
        self._next_layer = layer
        return True

    def _start(self) -> None:
        count, length = self._sequences.shape
        step = max(1, _BATCH_TOKENS // length)
        self._hidden = [
            embed(self._source, self._sequences[begin : begin + step]).astype(mx.bfloat16)
            for begin in range(0, count, step)
        ]
        self._next_layer = 0

    def _forward(self, layer: int, *, is_gathering: bool) -> None:
        self._inputs = {}
        weights = read_layer(self._source, layer)

        def gather(names: tuple[str, ...], inputs: mx.array) -> None:
            if is_gathering:
                shared = self._inputs.get(names[0]) or _Inputs(self._has_curvature)
                shared.add(inputs)
                self._inputs.update(dict.fromkeys(names, shared))

        for number, batch in enumerate(self._hidden):
            after = layer_forward(weights, batch.astype(mx.float32), self._source.config, gather)
            self._hidden[number] = after.astype(mx.bfloat16)
            mx.eval(self._hidden[number])
        self._next_layer = layer + 1

    def _head_inputs(self) -> "_Inputs":
        self._go_to(self._source.config.n_layers)
        if "head" not in self._inputs:
            gain = read_tensor(self._source, "model.norm.weight")
            inputs = _Inputs(self._has_curvature)
            for batch in self._hidden:
                hidden = batch.astype(mx.float32).reshape(-1, batch.shape[-1])
                inputs.add(mx.fast.rms_norm(hidden, gain, self._source.config.norm_eps))
            self._inputs = {"head": inputs}
        return self._inputs["head"]

    def _state_file(self, layer: int) -> Path:
        return self._folder / f"hidden-{layer:04d}.safetensors"


class _Inputs:
    """Sums over the inputs of some matrices: H in blocks on its diagonal, or its diagonal."""

    def __init__(self, has_curvature: bool) -> None:
        self._has_curvature = has_curvature
        self._tokens = 0
        self._squares: FloatArray | None = None
        self._blocks: list[tuple[int, FloatArray]] = []
        self._statistics: ColumnStatistics | None = None

    def add(self, inputs: mx.array) -> None:
        """Add rows of inputs (tokens, C) in float32."""
        tokens, columns = inputs.shape
        self._tokens += tokens
        squares = np.array(mx.sum(mx.square(inputs), axis=0))
        self._squares = squares if self._squares is None else self._squares + squares
        if not self._has_curvature:
            return
        if not self._blocks:
            spans = column_spans(columns)
            self._blocks = [(b, np.zeros((e - b, e - b), np.float32)) for b, e in spans]
        for begin, block in self._blocks:
            part = inputs[:, begin : begin + len(block)]
            block += np.asarray(product(part.T, part))

    def statistics(self, group_size: int) -> ColumnStatistics:
        """Factor what was added, once; H itself is dropped with it."""
        if self._statistics is None:
            assert self._squares is not None
            factored = []
            while self._blocks:
                begin, block = self._blocks.pop(0)
                factored.append(
                    CurvatureBlock(begin, factor_hessian(block, group_size, self._tokens))
                )
            importance = mx.array(damped_diagonal(self._squares))
            self._statistics = ColumnStatistics(importance, tuple(factored))
        return self._statistics


def column_spans(columns: int) -> Sequence[tuple[int, int]]:
    """Equal spans of at most _BLOCK_COLUMNS, whole groups each."""
    count = -(-columns // _BLOCK_COLUMNS)
    step = -(-columns // count // 128) * 128
    return [(begin, min(begin + step, columns)) for begin in range(0, columns, step)]
