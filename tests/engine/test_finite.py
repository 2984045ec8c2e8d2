"""Weights that make no numbers: the reply ends with an error that says where that begins."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from server.collecting import Asked

from mlx_magistral import Magistral
from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.errors import GenerationError
from mlx_magistral.model.caches import make_cache
from mlx_magistral.server.batching import make_backend


@pytest.fixture
def damaged(endless_model: Path) -> Iterator[Any]:
    """Sets one number of a weight to what is none."""
    loaded = Magistral.load(endless_model)

    def damage(place: str, value: float = float("nan")) -> Magistral:
        *path, name = place.split(".")
        module: Any = loaded.model
        for step in path:
            module = module[int(step)] if step.isdecimal() else getattr(module, step)
        array = mx.array(module[name])
        array[(0,) * array.ndim] = value
        module[name] = array
        mx.eval(array)
        return loaded

    yield damage


SAMPLING: list[dict[str, Any]] = [
    {"temperature": 0},
    {"seed": 1},
    {"seed": 1, "top_p": 1.0},
    {"seed": 1, "top_k": 5},
    {"seed": 1, "min_p": 0.1, "top_p": 1.0},
]


@pytest.mark.parametrize("sampling", SAMPLING, ids=str)
def test_every_way_of_drawing(damaged: Any, sampling: dict[str, Any]) -> None:
    stream = damaged("model.layers.1.mlp.down_proj.weight").stream("x", **sampling)
    with pytest.raises(GenerationError, match=r"not finite from layer 2 of \d+ on"):
        next(stream)


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ("model.layers.0.mlp.up_proj.weight", "layer 1 of 4"),
        ("model.layers.1.self_attn.k_proj.weight", "layer 2 of 4"),
        ("model.layers.1.self_attn.q_proj.weight", "layer 2 of 4"),
        ("model.layers.0.self_attn.v_proj.weight", "layer 1 of 4"),
        ("lm_head.weight", "the output head"),
    ],
)
def test_the_layer_is_named(damaged: Any, place: str, where: str) -> None:
    for options in ({"temperature": 0}, {"seed": 2}):
        with pytest.raises(GenerationError, match=f"from {where} on: {place} holds NaN"):
            damaged(place).generate("x", **options)


def test_an_embedding_that_is_damaged(damaged: Any) -> None:
    loaded = damaged("model.embed_tokens.weight")  # of id 0
    with pytest.raises(GenerationError, match="from the embedding on"):
        next(loaded.stream(prompt=[5, 0, 9], temperature=0))


def test_in_a_batch_others_go_on(damaged: Any, endless_model: Path) -> None:
    loaded = damaged("model.embed_tokens.weight")
    backend = make_backend(loaded)
    try:
        good = Asked(backend, prompt=[5, 9], temperature=0, on_loop="off", max_tokens=40)
        bad = Asked(backend, prompt=[5, 0, 9], temperature=0).wait()
        assert isinstance(bad.error, GenerationError)
        assert "not finite from the embedding" in str(bad.error)
        assert good.reply.usage.completion_tokens == 40
    finally:
        backend.close(0)


def test_what_begins_on_the_way_is_met_soon(damaged: Any, endless_model: Path) -> None:
    loaded = Magistral.load(endless_model)
    cache: list[Any] = list(make_cache(loaded.model))
    logits = prefill(loaded.model, [5, 9], cache)
    assert logits is not None
    sampler = Sampler(SamplingOptions(temperature=0), [5, 9], loaded.config.vocab_size)
    ids = decode(loaded.model, logits, cache, sampler, max_tokens=100, stop_tokens=frozenset())
    for _ in range(5):
        next(ids)
    loaded.model.model.norm.weight = loaded.model.model.norm.weight * float("nan")
    with pytest.raises(GenerationError, match="from the output head on"):
        for _ in range(20):
            next(ids)
