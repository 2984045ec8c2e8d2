"""Budget, schema, seed, guard, tools, speculation and prefix cache in one call: ids for ids."""

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


# An answer that goes on until it is wound down.
LONG = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 90}, "sum": {"type": "integer"}},
    "required": ["text", "sum"],
}


def ids(model: Magistral, **options: Any) -> list[int]:
    """The ids of a reply."""
    stream = model.stream(QUESTION, **options)
    for _ in stream:
        pass
    return stream.progress.tokens[len(stream.progress.plan.prompt) :]


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
    options = {"schema": SCHEMA, "seed": 1, "max_tokens": 200, **options}
    assert ids(nano, **options) == ids(nano, **options)
    first = nano.generate(QUESTION, **options)
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


@pytest.mark.parametrize("schema", [None, SCHEMA, LONG])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_budget_schema_seed_and_prefix_cache(
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    nano: Magistral,
    schema: Any,
    temperature: float,
) -> None:
    monkeypatch.setenv("MLX_MAGISTRAL_CACHE", str(tmp_path))
    options: dict[str, Any] = {"schema": schema, "think_budget": 12, "seed": 3, "max_tokens": 200}
    options["temperature"] = temperature
    expected = ids(nano, **options)
    caching = Magistral.load("nano", reuse_prefixes=True)
    assert ids(caching, **options) == expected
    stream = caching.stream(QUESTION, **options)
    *_, last = stream
    assert isinstance(last, Finished) and last.usage.cached_tokens > 0
    assert stream.progress.tokens[-len(expected) :] == expected


@pytest.mark.parametrize("schema", [None, SCHEMA])
def test_guard_that_does_not_act_changes_no_id(nano: Magistral, schema: Any) -> None:
    for seed in range(3):
        options: dict[str, Any] = {"schema": schema, "seed": seed, "max_tokens": 150}
        assert nano.generate(QUESTION, **options).limit is None
        assert ids(nano, **options) == ids(nano, on_loop="off", **options)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1.2, "seed": 5}])
@pytest.mark.parametrize("schema", [SCHEMA, LONG])
def test_every_driver_gives_the_ids_of_the_plain_one(
    nano: Magistral, schema: Any, options: dict[str, Any]
) -> None:
    """Guessing, and logprobs, which guess nothing, under a budget and a schema."""
    options = {**options, "schema": schema, "think_budget": 20, "max_tokens": 160}
    options["on_loop"] = "off"
    plain = ids(nano, speculate="off", **options)
    for other in ({"speculate": 3}, {"speculate": "auto"}, {"logprobs": 0}):
        assert ids(nano, **options, **other) == plain
    reply = nano.generate(QUESTION, **options)
    assert reply.content is not None
    jsonschema.validate(json.loads(reply.content), schema)
    # What was wound down is whole, and says that a limit acted.
    expected = FinishReason.LENGTH if schema is LONG else FinishReason.STOP
    assert reply.finish_reason is expected


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
