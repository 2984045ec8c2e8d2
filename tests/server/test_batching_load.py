"""Under load: bounded queues, cancelling, draining, memory, errors of one that others survive."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import pytest
from server.collecting import WAIT_S, Asked, collect, said

from mlx_magistral import Magistral
from mlx_magistral.decode.rules.steering import Place
from mlx_magistral.errors import (
    CheckpointError,
    ContextLengthError,
    GenerationError,
    OverloadedError,
    PromptError,
    UsageError,
)
from mlx_magistral.events import Finished, FinishReason
from mlx_magistral.memory.prefixes.cache import PrefixCache
from mlx_magistral.memory.runtime import ModelMemory
from mlx_magistral.memory.sizes import kv_bytes
from mlx_magistral.server.backend import Backend
from mlx_magistral.server.batching import make_backend

ENDLESS: dict[str, Any] = {"messages": "x", "temperature": 0, "on_loop": "off"}


def with_memory(model: Magistral, **changes: Any) -> Iterator[Magistral]:
    """The model under another memory plan or prefix cache, for one test."""
    before = model.memory
    model.memory = replace(before, **changes)
    yield model
    model.memory = before


@pytest.fixture
def small_room(endless: Magistral) -> Iterator[Magistral]:
    """KV memory of 1,536 tokens for all replies together."""
    room = kv_bytes(endless.config, 1536, 16)
    plan = endless.memory.plan
    machine = replace(plan.machine, limit_bytes=plan.peak_bytes - plan.kv_bytes + room)
    yield from with_memory(
        endless, plan=replace(plan, machine=machine, kv_bytes=room, reserve_bytes=0)
    )


@pytest.fixture
def reusing(nano: Magistral) -> Iterator[Magistral]:
    yield from with_memory(nano, prefixes=PrefixCache("test", 50_000_000))


def test_bad_requests_are_refused_at_once(backend: Backend) -> None:
    for error, fields in [
        (PromptError, {"messages": []}),
        (ContextLengthError, {"messages": "word " * 5000}),
        (UsageError, {"temprature": 1}),
        (UsageError, {"logprobs": 21}),
        (UsageError, {"stop": ("",)}),
        (PromptError, {"prompt": [5, 99999]}),
    ]:
        with pytest.raises(error):
            Asked(backend, **fields)
    assert backend.stats().queued == backend.stats().running == 0


def test_a_full_queue_refuses_and_says_when_to_return(endless_backend: Backend) -> None:
    running = [Asked(endless_backend, **ENDLESS) for _ in range(4)]
    running[0].has_begun.wait(WAIT_S)
    with pytest.raises(OverloadedError, match="waiting") as caught:
        Asked(endless_backend, **ENDLESS)
    assert caught.value.retry_after_s >= 1
    for each in running:
        each.ticket.cancel()
        assert each.reply.finish_reason is FinishReason.INTERRUPTED
    assert Asked(endless_backend, **ENDLESS, max_tokens=2).reply.usage.completion_tokens == 2


def test_cancel_frees_the_place_within_one_id(endless_backend: Backend) -> None:
    counted: list[int] = []

    def leave(each: Asked, event: Any) -> None:
        each.ticket.cancel()
        counted.append(1)

    asked = Asked(endless_backend, **ENDLESS, on_event=leave)
    assert asked.reply.finish_reason is FinishReason.INTERRUPTED
    assert asked.reply.usage.completion_tokens <= 2


def test_cancel_while_waiting(endless_backend: Backend) -> None:
    busy = [Asked(endless_backend, **ENDLESS) for _ in range(2)]
    waiting = [Asked(endless_backend, **ENDLESS) for _ in range(2)]
    with pytest.raises(OverloadedError):
        Asked(endless_backend, **ENDLESS)
    waiting[1].ticket.cancel()  # not the next one: its place in the queue is free all the same
    assert waiting[1].reply.usage.completion_tokens == 0
    waiting.append(Asked(endless_backend, **ENDLESS))
    for each in busy + waiting:
        each.ticket.cancel()
        assert each.reply.finish_reason is FinishReason.INTERRUPTED


def test_who_hears_that_a_waiting_reply_has_left_may_ask_at_once(endless_backend: Backend) -> None:
    again: list[Asked] = []

    def ask_again(each: Asked, event: Any) -> None:
        assert isinstance(event, Finished)
        again.append(Asked(endless_backend, **ENDLESS))

    first = [Asked(endless_backend, **ENDLESS) for _ in range(3)]
    waiting = Asked(endless_backend, **ENDLESS, on_event=ask_again)
    waiting.ticket.cancel()
    assert waiting.reply.finish_reason is FinishReason.INTERRUPTED
    for each in first:
        each.ticket.cancel()
        each.wait()
    (asked,) = again
    asked.ticket.cancel()
    assert asked.reply.finish_reason is FinishReason.INTERRUPTED


def test_an_error_in_one_ends_that_one(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        must_see_id = False
        processors = ()
        count = 0

        def feed(self, token: int, place: Place) -> None:
            self.count += 1
            assert self.count < 5, "a rule that fails"

    engine = cast(Any, backend)._engine
    submit = engine.submit

    def with_failing_rule(progress: Any, *others: Any) -> Any:
        progress.steering._rules = [Failing()]
        return submit(progress, *others)

    good = Asked(backend, temperature=0)
    monkeypatch.setattr(engine, "submit", with_failing_rule)
    bad = Asked(backend, temperature=0).wait()
    monkeypatch.undo()
    later = Asked(backend, temperature=0)
    assert isinstance(bad.error, GenerationError) and "a rule that fails" in str(bad.error)
    assert good.reply.content == later.reply.content == "The sum is $\\boxed{85}$."


def test_a_caller_that_fails_ends_its_own_reply(backend: Backend) -> None:
    def fail(each: Asked, event: Any) -> None:
        raise ValueError("gone")

    bad = Asked(backend, temperature=0, on_event=fail)
    good = Asked(backend, temperature=0)
    assert good.reply.content == "The sum is $\\boxed{85}$."
    assert isinstance(bad.wait().error, GenerationError)


def test_a_pass_that_fails_ends_those_in_it(
    backend: Backend, nano: Magistral, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(nano.model, "hidden", broken)
        asked = Asked(backend, temperature=0).wait()
    assert isinstance(asked.error, GenerationError)
    assert Asked(backend, temperature=0).reply.content == "The sum is $\\boxed{85}$."


def test_waiting_costs_no_memory_and_is_refused_by_count_alone(small_room: Magistral) -> None:
    """Four prompts of 600 ids each, of which one fits at a time."""
    backend = make_backend(small_room, max_queue=8)
    try:
        asked = [
            Asked(backend, **{**ENDLESS, "messages": f"{place} " * 300, "max_tokens": 3})
            for place in range(4)
        ]
        assert [each.reply.usage.completion_tokens for each in asked] == [3] * 4
    finally:
        backend.close(0)


def test_replies_that_outgrow_the_memory_wait_and_go_on(small_room: Magistral) -> None:
    """Three replies of 768 tokens do not fit at once; the youngest gives way and comes back."""
    wanted = {**ENDLESS, "max_tokens": 600, "raw_system": True, "temperature": 0.9}
    del wanted["messages"]
    expected = [said(collect(small_room.stream("x", **wanted, seed=seed))) for seed in range(3)]
    backend = make_backend(small_room)
    scheduler = cast(Any, backend)._engine._scheduler
    paused: list[int] = []
    step = scheduler.step

    def noting() -> Any:
        gone = step()
        paused.append(len(gone))
        return gone

    scheduler.step = noting
    try:
        asked = [Asked(backend, "x", **wanted, seed=seed) for seed in range(3)]
        assert [said(each.reply) for each in asked] == expected
        assert sum(paused) > 0
    finally:
        backend.close(0)


def test_close_drains_what_runs(endless: Magistral) -> None:
    backend = make_backend(endless)
    asked = Asked(backend, **ENDLESS, max_tokens=20)
    backend.close(WAIT_S)
    assert asked.reply.finish_reason is FinishReason.LENGTH
    with pytest.raises(OverloadedError, match="shutting down"):
        Asked(backend, **ENDLESS)


def test_close_cancels_what_does_not_end(endless: Magistral) -> None:
    backend = make_backend(endless, max_batch=1)
    asked = [Asked(backend, **ENDLESS) for _ in range(3)]
    asked[0].has_begun.wait(WAIT_S)
    backend.close(0)
    assert [each.reply.finish_reason for each in asked] == [FinishReason.INTERRUPTED] * 3


def test_idle_weights_are_given_back_and_read_again(endless_model: Path) -> None:
    model = Magistral.load(endless_model)
    gone = threading.Event()
    unload = model.unload

    def noting() -> None:
        unload()
        gone.set()

    model.unload = noting  # type: ignore[method-assign]
    before = mx.get_active_memory()
    backend = make_backend(model, idle_unload_s=0.05)
    try:
        first = Asked(backend, **ENDLESS, max_tokens=5).reply
        assert gone.wait(WAIT_S) and not model.is_loaded
        assert mx.get_active_memory() < before - 1_000_000
        again = Asked(backend, **ENDLESS, max_tokens=5)
        assert said(again.reply) == said(first)
        gone.clear()
        assert gone.wait(WAIT_S)
        model._folder = Path("nowhere")
        assert isinstance(Asked(backend, **ENDLESS).wait().error, CheckpointError)
    finally:
        backend.close(0)


def test_a_next_turn_reads_only_what_is_new(reusing: Magistral) -> None:
    assert isinstance(reusing.memory, ModelMemory)
    backend = make_backend(reusing)
    try:
        first = Asked(backend, temperature=0).reply
        turns = [
            {"role": "user", "content": "What is 37 + 48?"},
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": "now add 5"},
        ]
        second = Asked(backend, turns, temperature=0).reply
        same = Asked(backend, turns, temperature=0).reply
        assert first.usage.cached_tokens == 0
        # All of the first prompt; the answer is new ids, since the thinking before it is left out.
        assert second.usage.cached_tokens == first.usage.prompt_tokens
        assert same.usage.cached_tokens == same.usage.prompt_tokens - 1
        assert same.content == second.content
    finally:
        backend.close(0)
