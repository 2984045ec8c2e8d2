"""Budget, answer now and limits through the engine, on a model with random weights."""

import threading
from pathlib import Path
from typing import Any

import pytest

from mlx_magistral import Magistral
from mlx_magistral.errors import UsageError
from mlx_magistral.events import Finished, FinishReason, Limit, ReasoningDelta


@pytest.fixture(scope="module")
def endless(endless_model: Path) -> Magistral:
    return Magistral.load(endless_model)


OPTIONS: dict[str, Any] = {
    "temperature": 1.5,
    "seed": 1,
    "on_loop": "off",
    "tool_choice": "none",
}


def test_budget_is_kept_and_an_answer_follows(endless: Magistral) -> None:
    reply = endless.generate(
        "x", thinking="force", think_budget=40, think_close="ENOUGH", max_tokens=90, **OPTIONS
    )
    assert reply.reasoning is not None and reply.reasoning.endswith("ENOUGH")
    phrase = len(endless.tokenizer.encode("ENOUGH"))
    assert 0 < reply.usage.reasoning_tokens <= 40 + phrase
    assert reply.content
    assert (reply.finish_reason, reply.limit) == (FinishReason.LENGTH, Limit.MAX_TOKENS)


def test_max_tokens_leaves_room_for_the_answer(endless: Magistral) -> None:
    reply = endless.generate("x", thinking="force", max_tokens=120, think_close="", **OPTIONS)
    assert reply.usage.completion_tokens == 120
    assert 120 - reply.usage.reasoning_tokens >= 30
    assert reply.content


def test_budget_of_nothing_skips_the_thinking(endless: Magistral) -> None:
    reply = endless.generate("x", think_budget=0, max_tokens=30, **OPTIONS)
    assert reply.reasoning is None
    auto = endless.generate("x", max_tokens=1)
    assert reply.usage.prompt_tokens == auto.usage.prompt_tokens + 2  # [THINK][/THINK]


def test_same_ids_while_nothing_acts(endless: Magistral) -> None:
    options = {**OPTIONS, "max_tokens": 60}
    plain = endless.generate("x", **options)
    bounded = endless.generate("x", think_budget=5000, **{**options, "on_loop": "close"})
    assert (plain.content, plain.reasoning) == (bounded.content, bounded.reasoning)


def test_answer_now_from_another_thread(endless: Magistral) -> None:
    stream = endless.stream("x", thinking="force", max_tokens=4000, **OPTIONS)
    assert isinstance(next(stream), ReasoningDelta) and stream.is_thinking
    thread = threading.Thread(target=stream.answer_now)
    thread.start()
    thread.join()
    thought = 1
    for event in stream:
        if not isinstance(event, ReasoningDelta):
            break
        thought += 1
    stream.cancel()
    *_, last = stream
    assert isinstance(last, Finished) and last.usage.reasoning_tokens < 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"think_budget": -1}, "think_budget must be 0 or more"),
        ({"on_loop": "panic"}, "on_loop must be close, stop, off"),
        ({"think_budget": 0, "thinking": "force"}, "cannot be forced"),
    ],
)
def test_bad_options_are_refused(
    endless: Magistral, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        endless.stream("x", **options)  # type: ignore[arg-type]
