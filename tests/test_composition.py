"""Budget, schema, seed, guard, tools and prefix cache in one call."""

import json
from typing import Any

import jsonschema
import pytest

from mlx_magistral import Magistral
from mlx_magistral.events import ContentDelta, Finished, FinishReason, ReasoningDelta

SCHEMA = {
    "type": "object",
    "properties": {"sum": {"type": "integer", "minimum": 0, "maximum": 999}},
    "required": ["sum"],
}
QUESTION = "What is 37 + 48?"


def calculator(expression: str) -> str:
    """Calculate an arithmetic expression."""
    return str(sum(map(int, expression.split("+"))))


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


@pytest.mark.parametrize(
    "options",
    [
        {"think_budget": 0},
        {"think_budget": 12},
        {"thinking": "force"},
        {"thinking": "force", "think_budget": 12, "tools": [calculator]},
        {"think_budget": 0, "tools": [calculator], "tool_choice": "none"},
    ],
)
def test_answer_obeys_its_schema_however_it_thinks(nano: Magistral, options: Any) -> None:
    first, again = (
        nano.generate(QUESTION, schema=SCHEMA, seed=1, max_tokens=200, **options) for _ in range(2)
    )
    assert (first.reasoning, first.content) == (again.reasoning, again.content)
    assert first.finish_reason is FinishReason.STOP and first.content is not None
    jsonschema.validate(json.loads(first.content), SCHEMA)
    assert (first.reasoning is None) == (options.get("think_budget") == 0)
    # With its calculator at hand nano thinks for fewer ids than that.
    if options.get("think_budget") == 12 and "tools" not in options:
        assert first.limit == "think_budget"


def test_answer_now_and_schema(nano: Magistral) -> None:
    stream = nano.stream(QUESTION, schema=SCHEMA, thinking="force", seed=1, max_tokens=200)
    assert isinstance(next(stream), ReasoningDelta)
    stream.answer_now()
    *events, last = stream
    assert isinstance(last, Finished) and last.reason is FinishReason.STOP
    content = "".join(event.text for event in events if isinstance(event, ContentDelta))
    jsonschema.validate(json.loads(content), SCHEMA)
    assert last.timings.reasoning_s > 0


def test_prefix_cache_changes_nothing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, nano: Magistral
) -> None:
    monkeypatch.setenv("MLX_MAGISTRAL_CACHE", str(tmp_path))
    options: dict[str, Any] = {"schema": SCHEMA, "think_budget": 12, "seed": 3, "max_tokens": 200}
    expected = nano.generate(QUESTION, **options)
    caching = Magistral.load("nano", reuse_prefixes=True)
    first, again = (caching.generate(QUESTION, **options) for _ in range(2))
    assert again.usage.cached_tokens > 0
    for reply in (first, again):
        assert (reply.reasoning, reply.content) == (expected.reasoning, expected.content)


@pytest.mark.parametrize("schema", [None, SCHEMA])
def test_guard_that_does_not_act_changes_no_id(nano: Magistral, schema: Any) -> None:
    for seed in range(3):
        with_guard, without = (
            nano.generate(QUESTION, schema=schema, seed=seed, max_tokens=150, on_loop=on_loop)
            for on_loop in ("close", "off")
        )
        assert with_guard.limit is None
        assert (with_guard.reasoning, with_guard.content) == (without.reasoning, without.content)


def test_cancelling_stops_within_one_token(nano: Magistral) -> None:
    stream = nano.stream(QUESTION, thinking="force", seed=1)
    seen = 0
    for event in stream:
        if isinstance(event, Finished):
            break
        seen += 1
        if seen == 5:
            stream.cancel()
    assert isinstance(event, Finished) and event.reason is FinishReason.INTERRUPTED
    assert event.usage.completion_tokens <= 6
