"""One rank's heads of every layer, with what it computes together with the others.

On rank 0 it is what an engine takes for the model: ``hidden`` and ``logits`` tell the followers of
a pass first, who then call the same methods with the same caches. Every pass starts computing
before the call returns, so that collectives come in one order on all ranks (links.py).
"""

# mypy: allow-untyped-calls, no-warn-return-any
# because mlx's modules are annotated in part only.

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
from mlx.nn.layers.linear import Linear

from mlx_magistral.cluster.links import Links
from mlx_magistral.cluster.share import Share
from mlx_magistral.model.attending import Mask
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import MLP, AfterLayer, Attention, LayerCache, Transformer

# Told of the shape of tokens and the caches of a pass, before it.
BeforePass = Callable[[Sequence[int], Sequence[Any] | None], None]
# Told of the shape of hidden states and their dtype, before they go through the head.
BeforeLogits = Callable[[Sequence[int], mx.Dtype], None]


class _AddedAttention(Attention):
    """Some of the heads; what they add to the residual is the sum over all ranks."""

    def __init__(self, config: ModelConfig, links: Links) -> None:
        super().__init__(config)
        self._links = links

    def __call__(self, x: mx.array, mask: Mask, cache: LayerCache | None) -> mx.array:
        return self._links.add_up(super().__call__(x, mask, cache))


class _AddedMLP(MLP):
    """Some of the rows between; the sum over all ranks."""

    def __init__(self, config: ModelConfig, links: Links) -> None:
        super().__init__(config)
        self._links = links

    def __call__(self, x: mx.array) -> mx.array:
        return self._links.add_up(super().__call__(x))


class HeadsRank(Transformer):
    """A model of some of the heads; the callbacks are rank 0's, followers have none."""

    def __init__(
        self,
        config: ModelConfig,
        share: Share,
        links: Links,
        before_pass: BeforePass | None = None,
        before_logits: BeforeLogits | None = None,
    ) -> None:
        held = share.config(config)
        super().__init__(held)
        for layer in self.layers:
            layer.self_attn = _AddedAttention(held, links)
            layer.mlp = _AddedMLP(held, links)
        if "lm_head" in self:
            self.lm_head = Linear(config.dim, config.vocab_size // share.size, bias=False)
        self._links = links
        self._before_pass, self._before_logits = before_pass, before_logits

    def hidden(
        self,
        tokens: mx.array,
        cache: Sequence[LayerCache] | None = None,
        after_layer: AfterLayer | None = None,
    ) -> mx.array:
        """See Transformer; a pass that ``after_layer`` ends is computed to its end all the same."""
        if self._before_pass is None:
            shared = self._links.from_leader(None, tokens.shape, mx.int32)
        else:
            self._before_pass(tokens.shape, cache)
            shared = self._links.from_leader(tokens.astype(mx.int32), tokens.shape, mx.int32)
        guard = PassGuard(after_layer)
        hidden = super().hidden(shared, cache, None if after_layer is None else guard)
        mx.async_eval(hidden)
        guard.end()
        return hidden

    def logits(self, hidden: mx.array) -> mx.array:
        """See Transformer; each rank has some columns of the head."""
        if "lm_head" not in self:
            return super().logits(hidden)
        own = None
        if self._before_logits is not None:
            self._before_logits(hidden.shape, hidden.dtype)
            own = hidden
        shared = self._links.from_leader(own, hidden.shape, hidden.dtype)
        logits = self._links.join(self.lm_head(shared))
        mx.async_eval(logits)
        return logits


class PassGuard:
    """Calls ``after_layer`` until that gives the pass up, which ``end`` then tells."""

    def __init__(self, after_layer: AfterLayer | None) -> None:
        self._after_layer = after_layer
        self._error: BaseException | None = None

    def __call__(self, x: mx.array) -> None:
        """What goes on from a layer."""
        if self._after_layer is None or self._error is not None:
            return
        try:
            self._after_layer(x)
        except BaseException as error:  # Whatever it is, the other ranks are in this pass too.
            self._error = error

    def end(self) -> None:
        """Raise what gave the pass up, if anything did."""
        if self._error is not None:
            raise self._error
