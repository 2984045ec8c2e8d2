"""load_head_draft: an EAGLE-3 head beside its loaded target, with what a guess of it costs here."""

# mypy: allow-untyped-calls

from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.nn.layers.quantized import QuantizedLinear

from mlx_magistral.decode.speculation.head_draft import HeadDraft
from mlx_magistral.decode.speculation.pass_costs import guess_seconds
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.eagle.reading import load_head
from mlx_magistral.model.eagle.window import WindowCache
from mlx_magistral.model.transformer import Transformer


def load_head_draft(folder: Path, target: Transformer, config: ModelConfig) -> HeadDraft:
    """A head for this target; raises CheckpointError where it does not fit.

    For a quantized target, of whatever bits, it is quantized too: it was trained on states that
    those bits hardly change.
    """
    head = load_head(
        folder,
        config,
        dtype=target.model.norm.weight.dtype,
        is_quantized=isinstance(target.layers[0].mlp.up_proj, QuantizedLinear),
    )
    draft = HeadDraft(head, target)
    draft.guess_s = guess_seconds(_Chain(draft, head.network), [WindowCache()])
    return draft


class _Chain:
    """A row of a chain as a pass of a model, to be timed as one."""

    def __init__(self, draft: HeadDraft, network: Any) -> None:
        self._draft, self._network = draft, network

    def parameters(self) -> Any:
        """What its cost depends on."""
        return self._network.parameters()

    def __call__(self, tokens: mx.array, cache: list[WindowCache]) -> mx.array:
        """Ids (1, rows) to logits (1, rows, vocab)."""
        embedded = self._draft.embedded(tokens[0])
        [window] = cache
        output = self._network.layers[0].read(embedded, embedded, window, tokens.shape[1])
        return self._draft.logits(output)
