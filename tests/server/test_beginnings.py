"""What several prompts begin with is read once, and the replies are those made alone."""

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import pytest
from server.collecting import Asked, collect, said

from mlx_magistral import Magistral
from mlx_magistral.batching.prefill_chunk import BUSY_PASS_S, LEAST_ROWS, PrefillChunk
from mlx_magistral.memory.prefixes.cache import PrefixCache
from mlx_magistral.server.batching import make_backend

LONG = "What is 37 + 48? " + "word " * 250


@pytest.fixture
def rows(nano: Magistral, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The rows of each pass of the model."""
    passed: list[int] = []
    hidden = nano.model.hidden

    def noting(tokens: mx.array, *rest: Any) -> mx.array:
        passed.append(tokens.size)
        return hidden(tokens, *rest)

    monkeypatch.setattr(nano.model, "hidden", noting)
    yield passed


def alone(model: Magistral, question: str, **options: Any) -> tuple[Any, ...]:
    return said(collect(model.stream(question, speculate="off", **options)))


@pytest.mark.parametrize("prefixes", [None, PrefixCache("test", 50_000_000)])
def test_copies_of_one_prompt(
    nano: Magistral, rows: list[int], monkeypatch: pytest.MonkeyPatch, prefixes: Any
) -> None:
    monkeypatch.setattr(nano.memory, "prefixes", prefixes)
    options: dict[str, Any] = {"temperature": 1.0, "max_tokens": 5}
    expected = [alone(nano, LONG, seed=seed, **options) for seed in range(4)]
    prompt = len(nano.tokenizer.encode_chat(LONG))
    assert prompt > 300
    rows.clear()
    backend = make_backend(nano)
    try:
        asked = [Asked(backend, LONG, seed=seed, **options) for seed in range(4)]
        replies = [each.reply for each in asked]
    finally:
        backend.close(0)
    assert [said(reply)[:-1] for reply in replies] == [each[:-1] for each in expected]
    # Of each copy the last id, whose logits it draws from, and what it says.
    assert sum(rows) <= prompt + 3 + 4 * 5


def test_clients_that_share_a_beginning(nano: Magistral, rows: list[int]) -> None:
    questions = [LONG + ending for ending in ("one", "two and more", "three")]
    options: dict[str, Any] = {"temperature": 0, "max_tokens": 4}
    expected = [alone(nano, question, **options) for question in questions]
    lengths = [len(nano.tokenizer.encode_chat(question)) for question in questions]
    rows.clear()
    backend = make_backend(nano)
    try:
        asked = [Asked(backend, question, **options) for question in questions]
        assert [said(each.reply) for each in asked] == expected
    finally:
        backend.close(0)
    assert sum(rows) < max(lengths) + 3 * 40


def test_one_that_others_wait_for_may_leave(nano: Magistral) -> None:
    expected = alone(nano, LONG, temperature=0, max_tokens=4)
    backend = make_backend(nano)
    try:
        first = Asked(backend, LONG, temperature=0)
        second = Asked(backend, LONG, temperature=0, max_tokens=4)
        first.ticket.cancel()
        assert said(second.reply) == expected
        assert first.wait().error is None
    finally:
        backend.close(0)


def test_rows_beside_others_follow_the_time_of_a_pass(nano: Magistral) -> None:
    chunk = PrefillChunk(nano.memory.plan)
    whole = chunk.limit(is_busy=False)
    assert LEAST_ROWS < chunk.limit(is_busy=True) < whole
    chunk.measure(64, 2 * BUSY_PASS_S * 64 / 40)
    assert chunk.limit(is_busy=True) == LEAST_ROWS  # 20 would fit
    chunk.measure(LEAST_ROWS, BUSY_PASS_S / 2)
    assert chunk.limit(is_busy=True) == 2 * LEAST_ROWS
    chunk.measure(LEAST_ROWS, BUSY_PASS_S / 1000)
    assert chunk.limit(is_busy=True) == whole
    chunk.measure(0, 5.0)  # a pass without prompts says nothing
    assert chunk.limit(is_busy=True) == whole


def test_a_pass_that_others_decode_in_is_measured(
    endless_backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[tuple[int, float]] = []
    monkeypatch.setattr(
        PrefillChunk, "measure", lambda self, rows, seconds: measured.append((rows, seconds))
    )
    first = Asked(endless_backend, "x", temperature=0, max_tokens=400, on_loop="off")
    first.has_begun.wait(60)
    prompt = "word " * 150
    second = Asked(endless_backend, prompt, temperature=0, max_tokens=3, on_loop="off")
    read = second.reply.usage.prompt_tokens - second.reply.usage.cached_tokens
    first.ticket.cancel()
    assert first.wait().error is None
    rows = [rows for rows, _ in measured if rows]
    assert sum(rows) >= read
    assert all(seconds > 0 for rows, seconds in measured if rows)
