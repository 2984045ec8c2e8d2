"""What every matrix's inputs look like, layer by layer, while calibration text streams by.

Holds the hidden states of all calibration tokens, the weights of one layer and what one matrix's
inputs add up to. Layers come in order; the hidden states between two of them are saved, so that a
killed conversion does not begin again.
"""

from pathlib import Path

import mlx.core as mx
import numpy as np

from magistral_convert.output.shards import Fault, ShardEntry, ShardWriter
from magistral_convert.output.written import WrittenTensors
from magistral_convert.progress import Watcher
from magistral_convert.recipe import Recipe
from magistral_convert.rounding.dense import working
from magistral_convert.rounding.feedback import damped_diagonal, factor_hessian
from magistral_convert.rounding.methods import ColumnStatistics, CurvatureBlock
from magistral_convert.sources.layer_weights import TokenArray, head_name
from magistral_convert.sources.source import Source

from .importance import TokenImportance
from .paired_stream import PairedStream
from .streams import Batch, SourceStream, Stream

_EMBEDDING = "model.embed_tokens.weight"
IMPORTANCE_FILE = "importance.npz"


class Calibration:
    """Statistics for one tensor after another, in the order of the model.

    ``sequences`` is (N, L) token ids; ``recipe`` tells the groups that are rounded with what is
    known; ``folder`` is where hidden states are kept for a later run.
    With ``written`` what is rounded next knows the errors of all that was written before it;
    without it only the importance of each column is gathered, all that the weighted search needs.
    """

    def __init__(
        self,
        source: Source,
        sequences: TokenArray,
        recipe: Recipe,
        folder: Path,
        *,
        written: WrittenTensors | None,
        watcher: Watcher | None = None,
        fault: Fault = lambda step: None,
    ) -> None:
        self._source = source
        self._shapes = source.shapes
        self._layers = source.config.n_layers
        self._sequences = sequences
        self._recipe = recipe
        self._folder = folder
        self._written = written
        self._fault = fault
        self._stream: Stream = SourceStream(source)
        self._importance: TokenImportance | None = None
        if written is not None:
            self._importance = TokenImportance(
                source, sequences, folder / IMPORTANCE_FILE, watcher or Watcher(), fault
            )
            self._stream = PairedStream(source, written, self._importance)
        self._at: int | None = None  # the layer that the hidden states are at
        self._is_inside = False  # whether its matrices were asked for
        self._head: ColumnStatistics | None = None

    def prepare(self) -> None:
        """What takes the whole model, before the first tensor is asked for."""
        if self._importance is not None:
            self._importance.measure()  # before the hidden states take their memory

    def statistics(self, tensor: str) -> ColumnStatistics | None:
        """What is known of the inputs of ``tensor``; None for a vector.

        Tensors must be asked for in the order of the model, each when those before it are written.
        """
        shape = self._shapes[tensor]
        if len(shape) != 2:
            return None
        if tensor == _EMBEDDING:
            return self._of_embedding(shape[1])
        if tensor.startswith("model.layers."):
            _, _, layer, inside = tensor.removesuffix(".weight").split(".", 3)
            self._go_to(int(layer))
            self._is_inside = True
            sums = self._stream.sums(int(layer), inside)
            return sums.statistics(self._group_size(tensor))
        if self._head is None:
            self._go_to(self._layers)
            self._head = self._stream.head_sums().statistics(self._group_size(tensor))
        return self._head

    def _of_embedding(self, columns: int) -> ColumnStatistics:
        if self._importance is None or head_name(self._source) == _EMBEDDING:
            # Its input is one row, chosen: every column weighs the same.
            return ColumnStatistics(working(mx.ones((columns,))))
        hessian, tokens = self._importance.of_embedding()
        curvature = factor_hessian(hessian, self._group_size(_EMBEDDING), tokens)
        importance = working(damped_diagonal(np.diag(hessian)))
        return ColumnStatistics(importance, (CurvatureBlock(0, curvature),))

    def _group_size(self, tensor: str) -> int:
        format = self._recipe.format_of(tensor, self._shapes[tensor])
        assert format is not None, "what is calibrated is quantized"
        return format.group_size

    def wrote(self, tensor: str, parts: tuple[mx.array, ...]) -> None:
        """Take rows of a tensor as they were stored, in order."""
        if self._written is not None and tensor.startswith("model.layers."):
            self._written.add(tensor, parts)

    def finish_shard(self) -> None:
        """Keep the hidden states that enter the next layer, and drop older ones."""
        if self._is_inside:
            self._leave()
        if self._written is not None:
            self._written.finish_shard()
        if self._at is not None:
            self._save(self._at)

    def _go_to(self, layer: int) -> None:
        """Let the hidden states be those that enter ``layer``, or be in it already."""
        if self._at is None:
            if self._load(layer):
                self._at = layer
            else:
                self._stream.start(self._sequences)
                self._at = 0
        while self._at < layer:
            self._leave()
        assert self._at == layer, "layers must come in order"

    def _leave(self) -> None:
        assert self._at is not None
        self._stream.leave(self._at)
        self._at += 1
        self._is_inside = False

    def _save(self, layer: int) -> None:
        path = self._state_file(layer)
        arrays = {
            f"{place:06d}.{side}": states
            for place, batch in enumerate(self._stream.hidden)
            for side, states in enumerate(batch)
        }
        entries = [ShardEntry(name, "BF16", states.shape) for name, states in arrays.items()]
        with ShardWriter(path, entries, self._fault) as writer:
            for name, states in arrays.items():
                writer.append(name, states)
            writer.close()  # not read back: what would be found is only that it is to be made again
        for other in self._folder.glob("hidden-*"):
            if other != path:
                other.unlink()

    def _load(self, layer: int) -> bool:
        path = self._state_file(layer)
        if not path.exists():
            return False
        try:
            loaded = mx.load(str(path), stream=mx.cpu)
            assert isinstance(loaded, dict)
            mx.eval(loaded)
        except RuntimeError:
            return False  # damaged since it was written; going through the layers makes it again
        batches: dict[str, Batch] = {}
        for name in sorted(loaded):
            place, _, _ = name.partition(".")
            batches[place] = (*batches.get(place, ()), loaded[name])
        self._stream.hidden = list(batches.values())
        return True

    def _state_file(self, layer: int) -> Path:
        return self._folder / f"hidden-{layer:04d}.safetensors"
