"""Kept prompts: a follower keeps and drops what rank 0 does, though its layers are fewer."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from mlx_magistral.cluster.passes import CacheBook, CacheShelf
from mlx_magistral.cluster.prefixes import FollowedPrefixes, LedPrefixes
from mlx_magistral.errors import ClusterError
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.caches import make_cache, token_bytes
from tests.model.builders import SMALL

LAYERS = replace(SMALL, n_layers=4)


def filled(layers: list[KVCache], tokens: list[int]) -> list[KVCache]:
    """Keys and values that tell which id they are of."""
    values = mx.broadcast_to(mx.array(tokens, mx.float32)[None, None, :, None], (1, 2, 7, 32))
    for layer in layers:
        layer.update_and_fetch(values[:, :, : len(tokens)], values[:, :, : len(tokens)])
    return layers


class Pair:
    """Rank 0's prompts and those of a follower that holds one layer of its four."""

    def __init__(self) -> None:
        self.book, self.shelf = CacheBook(), CacheShelf(replace(SMALL, n_layers=1))
        self.follower = FollowedPrefixes(self.shelf, 1, 4)
        per_token = int(token_bytes(filled(make_cache(LAYERS), [1])))
        self.led = LedPrefixes("", 15 * per_token, tell=self.follower.do, book=self.book)

    def cache(self, tokens: list[int]) -> list[KVCache]:
        cache = make_cache(LAYERS)
        wanted = self.book.describe((1, len(tokens)), cache)
        followed: Any = self.shelf.for_pass(wanted)
        filled(followed, tokens)
        return filled(cache, tokens)


def test_a_follower_restores_what_rank_0_does_and_drops_the_same() -> None:
    pair = Pair()
    prompts = [[key] * 6 + [9] for key in range(3)]
    for prompt in prompts:  # the third drops the first
        pair.led.store(prompt, pair.cache(prompt))
    assert [pair.led.known([*prompt, 1]) for prompt in prompts] == [0, 7, 7]
    for prompt in prompts[1:]:
        cache = make_cache(LAYERS)
        assert pair.led.restore([*prompt, 1], cache) == 7
        followed = pair.shelf.at(pair.book.state(cache[0]))
        kept = [layer.state[0][0, 0, :7, 0].tolist() for layer in (cache[0], followed[0])]
        assert kept == [prompt, prompt]
    pair.led.shrink(0)
    with pytest.raises(ClusterError, match="knows 0 tokens .* rank 0 knows 3"):
        pair.follower.do(
            {
                "op": "restore",
                "cache": vars(pair.book.state(make_cache(LAYERS)[0])),
                "tokens": prompts[1],
                "ends": None,
                "length": 3,
            }
        )
