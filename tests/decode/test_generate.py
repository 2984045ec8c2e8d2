"""Prefill and decode on a scripted model that counts: after id t comes t + 1."""

from types import SimpleNamespace
from typing import Any, cast

import mlx.core as mx
import pytest

from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.model.transformer import Transformer

VOCAB = 50


class Counting:
    """Stands for a Transformer; remembers the length of every pass and of every head."""

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.heads: list[int] = []

    def hidden(self, tokens: mx.array, cache: list[Any], after_layer: Any = None) -> mx.array:
        self.passes.append(tokens.shape[1])
        if after_layer is not None:
            after_layer(tokens)
        return tokens

    def logits(self, hidden: mx.array) -> mx.array:
        self.heads.append(hidden.shape[1])
        following = (hidden[..., None] + 1) % VOCAB
        return (mx.arange(VOCAB) == following).astype(mx.float32)

    def __call__(self, tokens: mx.array, cache: list[Any]) -> mx.array:
        return self.logits(self.hidden(tokens, cache))


CACHE = [SimpleNamespace(state=mx.zeros(1), offset=0)]


def start(model: Counting, prompt: list[int], **options: Any) -> mx.array:
    logits = prefill(cast(Transformer, model), prompt, CACHE, **options)
    assert logits is not None
    return logits


def run(model: Counting, logits: mx.array, max_tokens: int, stop: set[int]) -> list[int]:
    sampler = Sampler(SamplingOptions(temperature=0), [], VOCAB)
    return list(
        decode(
            cast(Transformer, model),
            logits,
            CACHE,
            sampler,
            max_tokens=max_tokens,
            stop_tokens=frozenset(stop),
        )
    )


def test_prompt_goes_in_chunks_and_one_position_through_the_head() -> None:
    model = Counting()
    progress: list[tuple[int, int]] = []
    start(model, list(range(10)), chunk_tokens=4, on_chunk=lambda *done: progress.append(done))
    assert model.passes == [4, 4, 2]
    assert model.heads == [1]
    assert progress == [(4, 10), (8, 10), (10, 10)]


@pytest.mark.parametrize("chunk_tokens", [1, 2, 3, 7, 8, 100])
def test_chunking_does_not_change_what_follows(chunk_tokens: int) -> None:
    model = Counting()
    logits = start(model, [5, 3, 9, 1, 4, 1, 7], chunk_tokens=chunk_tokens)
    assert run(model, logits, 3, set()) == [8, 9, 10]


def test_prefill_stops_between_passes() -> None:
    model = Counting()
    done: list[int] = []
    cancelled = prefill(
        cast(Transformer, model),
        list(range(9)),
        CACHE,
        chunk_tokens=4,
        on_chunk=lambda at, _: done.append(at),
        is_cancelled=lambda: bool(done),
    )
    assert cancelled is None
    assert model.passes == [4]


def test_stop_id_is_the_last_one() -> None:
    model = Counting()
    assert run(model, start(model, [0]), 100, {4}) == [1, 2, 3, 4]


def test_max_tokens_costs_no_pass_too_many() -> None:
    model = Counting()
    assert run(model, start(model, [0]), 5, set()) == [1, 2, 3, 4, 5]
    assert model.passes == [1] * 5


def test_next_step_is_dispatched_before_the_id_is_read() -> None:
    model = Counting()
    logits = start(model, [0])
    tokens = decode(
        cast(Transformer, model),
        logits,
        CACHE,
        Sampler(SamplingOptions(temperature=0), [], VOCAB),
        max_tokens=10,
        stop_tokens=frozenset(),
    )
    passes_at_yield = [len(model.passes) for _, _ in zip(range(3), tokens, strict=False)]
    assert passes_at_yield == [2, 3, 4]
