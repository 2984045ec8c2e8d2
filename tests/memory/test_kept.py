"""What MLX keeps of freed buffers stays under a step of the KV cache, whoever drives the decode."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from server.collecting import Asked

from mlx_magistral import Magistral
from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.decode.speculation.drafts import Drafts
from mlx_magistral.decode.speculation.pass_costs import PassCosts
from mlx_magistral.memory.sizes import kept_bytes, kv_bytes
from mlx_magistral.model.cache import STEP_TOKENS
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.server.batching import make_backend
from scripts.bench.memory import KEPT_SHAPE, random_model

IDS = 2 * STEP_TOKENS + 20


@pytest.fixture(scope="module")
def model() -> Transformer:
    return random_model(KEPT_SHAPE)


@pytest.fixture(autouse=True)
def lifted(settled: None) -> Iterator[None]:
    """MLX keeps all it can, as on a Mac with memory to spare."""
    before = mx.set_cache_limit(1 << 40)
    mx.clear_cache()
    yield
    mx.set_cache_limit(before)


def decoded(model: Transformer, bits: int, speculation: Any) -> tuple[list[Any], Iterator[int]]:
    cache: list[Any] = list(make_cache(model, bits))
    logits = prefill(model, [1, 2, 3], cache)
    assert logits is not None
    sampler = Sampler(SamplingOptions(temperature=0), [1, 2, 3], KEPT_SHAPE.vocab_size)
    ids = decode(
        model,
        logits,
        cache,
        sampler,
        max_tokens=IDS,
        stop_tokens=frozenset(),
        speculation=speculation,
    )
    return cache, ids


@pytest.mark.parametrize(("bits", "is_guessing"), [(16, False), (8, False), (16, True)])
def test_alone_and_guessing(model: Transformer, bits: int, is_guessing: bool) -> None:
    step = kv_bytes(KEPT_SHAPE, STEP_TOKENS, bits)
    assert kept_bytes(step, KEPT_SHAPE.vocab_size) == step
    drafts = Drafts([1, 2, 3], PassCosts("none", None), length=4) if is_guessing else None
    cache, ids = decoded(model, bits, drafts)
    most = max(mx.get_cache_memory() for _ in ids)
    # On a CPU a pass copies the codes of a layer, and reuses that for the next.
    copied = cache[0].nbytes if bits == 8 else 0
    assert most <= step + copied
    assert sum(layer.nbytes for layer in cache) >= 3 * step


def test_nothing_is_kept_of_what_a_pass_outgrew(model: Transformer) -> None:
    """Not even until the pass is over: all layers' old keys and values would be as much again."""
    cache, ids = decoded(model, 16, None)
    kept: list[int] = []
    grow = type(cache[0])._make_room

    class Noting(type(cache[0])):  # type: ignore[misc]
        def _make_room(self, *arguments: Any) -> None:
            grow(self, *arguments)
            kept.append(mx.get_cache_memory())

    for layer in cache:
        layer.__class__ = Noting
    for _ in ids:
        pass
    assert max(kept) <= kv_bytes(KEPT_SHAPE, STEP_TOKENS, 16)


def test_several_at_once(endless_model: Path) -> None:
    """Each grows at another step, and a reply that ends leaves nothing behind."""
    loaded = Magistral.load(endless_model)
    step = kv_bytes(loaded.config, STEP_TOKENS, 16)
    planned = kept_bytes(step, loaded.config.vocab_size)
    kept: list[int] = []
    backend = make_backend(loaded)
    options = {"temperature": 0, "on_loop": "off", "max_tokens": STEP_TOKENS + 60}
    try:
        asked = [
            Asked(
                backend,
                "x " * (40 * place + 1),
                on_event=lambda *_: kept.append(mx.get_cache_memory()),
                **options,
            )
            for place in range(3)
        ]
        for each in asked:
            assert each.reply.usage.completion_tokens == options["max_tokens"]
    finally:
        backend.close(0)
    assert max(kept) <= planned
    assert mx.get_cache_memory() <= planned
