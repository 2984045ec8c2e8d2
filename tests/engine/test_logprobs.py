"""Logprobs against a full softmax over the whole reply at once, thinking and answer."""

import math
from typing import Any

import mlx.core as mx
import pytest

from mlx_magistral import Magistral
from mlx_magistral.errors import UsageError
from mlx_magistral.events import ContentDelta, ReasoningDelta, TokenLogprob


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


def reported(model: Magistral, **options: Any) -> tuple[list[TokenLogprob], list[int], list[int]]:
    """What was reported, the prompt's ids and those of the reply."""
    stream = model.stream("What is 37 + 48?", logprobs=3, **options)
    logprobs: list[TokenLogprob] = []
    for event in stream:
        if isinstance(event, ReasoningDelta | ContentDelta):
            assert b"".join(each.bytes for each in event.logprobs) == event.text.encode()
            logprobs += event.logprobs
    plan = stream.progress.plan
    return logprobs, plan.prompt, stream.progress.tokens[len(plan.prompt) :]


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0},
        {"temperature": 1.5, "seed": 4, "top_p": 0.5, "repetition_penalty": 1.2, "max_tokens": 30},
        {"temperature": 0, "think_budget": 6},  # forced ids have a logprob as well
    ],
)
def test_against_a_full_softmax(nano: Magistral, options: dict[str, Any]) -> None:
    logprobs, prompt, said = reported(nano, **options)
    logits = nano.model(mx.array([prompt + said]))[0, len(prompt) - 1 : -1].astype(mx.float32)
    full: Any = mx.log(mx.softmax(logits, axis=-1)).tolist()
    controls = nano.tokenizer.control_count
    expected = [(token, row) for token, row in zip(said, full, strict=True) if token >= controls]
    assert [each.token for each in logprobs] == [token for token, _ in expected]
    for each, (token, row) in zip(logprobs, expected, strict=True):
        # bfloat16 logits near 16 are 0.06 apart; a pass of another shape may round otherwise.
        assert each.logprob == pytest.approx(row[token], abs=0.15)
        best = sorted(row, reverse=True)[:3]
        assert [other.logprob for other in each.top] == pytest.approx(best, abs=0.15)
        assert each.bytes == nano.tokenizer.id_to_bytes(token)
        assert sum(math.exp(other.logprob) for other in each.top) <= 1.001


def test_asking_changes_nothing_and_not_asking_reports_nothing(nano: Magistral) -> None:
    plain = list(nano.stream("What is 37 + 48?", seed=2))
    asked = list(nano.stream("What is 37 + 48?", seed=2, logprobs=0))
    assert plain[:-1] == asked[:-1]
    deltas = [event for event in plain if isinstance(event, ReasoningDelta | ContentDelta)]
    assert not any(event.logprobs for event in deltas)
    with_zero = [event for event in asked if isinstance(event, ContentDelta)]
    assert all(event.logprobs and not event.logprobs[0].top for event in with_zero)


def test_too_many_alternatives(nano: Magistral) -> None:
    with pytest.raises(UsageError, match="logprobs must be 0 to 20"):
        nano.stream("x", logprobs=21)
