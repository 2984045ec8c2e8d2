"""One rank's layers of a model: hidden states come from the rank before and go to the next.

Rank 0 has the embedding, the last norm and the head beside its layers, so that ids and logits stay
there. What is computed is what one process computes, bit for bit.
"""

# mypy: allow-untyped-calls, no-warn-return-any
# because mlx's modules are annotated in part only.

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from mlx_magistral.cluster.links import Links
from mlx_magistral.cluster.rank_model import BeforePass, PassGuard
from mlx_magistral.cluster.share import Share
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.ragged import RaggedCache
from mlx_magistral.model.transformer import AfterLayer, LayerCache, Transformer


class LayersRank(Transformer):
    """A model of some of the layers; ``dtype`` is that of hidden states.

    The callback is rank 0's, followers have none.
    """

    def __init__(
        self,
        config: ModelConfig,
        share: Share,
        links: Links,
        dtype: mx.Dtype,
        before_pass: BeforePass | None = None,
    ) -> None:
        super().__init__(share.config(config))
        if not share.is_first:
            self.pop("lm_head", None)
            for name in ("embed_tokens", "norm"):
                self.model.pop(name)
        self._share, self._links, self._dtype, self._dim = share, links, dtype, config.dim
        self._before_pass = before_pass

    def hidden(
        self,
        tokens: mx.array,
        cache: Sequence[LayerCache] | None = None,
        after_layer: AfterLayer | None = None,
    ) -> mx.array:
        """See Transformer; on a follower what it has sent. ``after_layer`` sees rank 0's alone."""
        share, links = self._share, self._links
        if self._before_pass is not None:
            self._before_pass(tokens.shape, cache)
        if share.is_first:
            x = self.model.embed_tokens(tokens)
        else:
            x = links.receive((*tokens.shape, self._dim), self._dtype, share.rank - 1)
        guard = PassGuard(after_layer)
        own = cache if share.is_last else _all_rows(cache)
        x = self.model.through(x, own, None if after_layer is None else guard)
        sent = links.send(x, (share.rank + 1) % share.size)
        mx.async_eval(sent)
        if not share.is_first:
            return sent
        rows = (_wanted_rows(cache) or tokens.shape[0], tokens.shape[1], self._dim)
        hidden = self.model.norm(links.receive(rows, self._dtype, share.size - 1))
        mx.async_eval(hidden)
        guard.end()
        return hidden


def _all_rows(cache: Sequence[Any] | None) -> Sequence[Any] | None:
    """The caches of layers after which others come, whose last lets all rows go on."""
    if not cache or not isinstance(cache[-1], RaggedCache):
        return cache
    last = cache[-1]
    return [*cache[:-1], RaggedCache(last.caches, last.lengths, last.offset)]


def _wanted_rows(cache: Sequence[Any] | None) -> int | None:
    """How many rows go on from the last layer where that is not all."""
    wanted = cache[-1].wanted if cache and isinstance(cache[-1], RaggedCache) else None
    return None if wanted is None else sum(wanted)
