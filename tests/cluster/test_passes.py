"""Passes: a follower's caches are where the leader's are, whatever the leader did to them."""

import mlx.core as mx
import pytest

from mlx_magistral.cluster.passes import CacheBook, CacheShelf, Pass
from mlx_magistral.errors import ClusterError
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.quantized_cache import QuantizedKVCache
from mlx_magistral.model.ragged import RaggedCache, ragged_caches
from tests.model.builders import SMALL


def grow(layers: list[KVCache], tokens: int) -> None:
    for layer in layers:
        layer.update_and_fetch(mx.ones((1, 2, tokens, 32)), mx.ones((1, 2, tokens, 32)))


def sent(wanted: Pass) -> Pass:
    return Pass.from_dict(wanted.to_dict())


def test_a_follower_trims_where_the_leader_has() -> None:
    book, shelf, leaders = CacheBook(), CacheShelf(SMALL), make_cache(SMALL)
    first = shelf.for_pass(sent(book.describe((1, 7), leaders)))
    assert isinstance(first, list) and len(first) == SMALL.n_layers
    grow(leaders, 7)
    grow(first, 7)
    for layer in leaders:
        layer.trim(3)
    again = shelf.for_pass(sent(book.describe((1, 1), leaders)))
    assert again is first and {layer.offset for layer in first} == {4}


def test_a_cache_that_is_behind_the_leaders_is_an_error() -> None:
    book, shelf, leaders = CacheBook(), CacheShelf(SMALL), make_cache(SMALL)
    grow(leaders, 2)
    with pytest.raises(ClusterError, match="has 0 tokens .* rank 0 has 2"):
        shelf.for_pass(sent(book.describe((1, 1), leaders)))


def test_a_batch_has_the_leaders_rows() -> None:
    book, shelf = CacheBook(), CacheShelf(SMALL)
    leaders = [make_cache(SMALL), make_cache(SMALL)]
    passing = ragged_caches(leaders, [3, 1], [0, 1])
    found = shelf.for_pass(sent(book.describe((4, 1), passing)))
    assert found is not None and all(isinstance(each, RaggedCache) for each in found)
    assert (found[-1].lengths, found[-1].wanted, found[0].wanted) == ([3, 1], [0, 1], None)


def test_caches_that_are_gone_are_forgotten_and_bits_are_kept() -> None:
    book, shelf = CacheBook(), CacheShelf(SMALL)
    quantized = make_cache(SMALL, 8)
    found = shelf.for_pass(sent(book.describe((1, 1), quantized)))
    assert found is not None and isinstance(found[0], QuantizedKVCache) and found[0].bits == 8
    del quantized
    other = make_cache(SMALL)
    wanted = sent(book.describe((1, 1), other))
    assert wanted.dropped == [0]
    assert shelf.for_pass(wanted) is not found
