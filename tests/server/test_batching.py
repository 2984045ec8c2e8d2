"""Replies made together are those made alone, and each keeps its own limits."""

import json
from typing import Any

import jsonschema
import mlx.core as mx
import pytest
from server.collecting import Asked, collect, said

from mlx_magistral import Magistral
from mlx_magistral.events import ContentDelta, Finished, FinishReason, Limit, ReasoningDelta
from mlx_magistral.server.backend import Backend, GenerationRequest

QUESTIONS = [
    "What is 37 + 48?",
    "Sort 5, 3, 9.",
    "hello",
    "What is 12 * 34?",
    "Which is larger, 5 or 9?",
    "What is 900 - 77?",
]
ENDLESS = {"type": "array", "items": {"type": "string", "minLength": 9}, "minItems": 1}
TOOL = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Works out an expression.",
        "parameters": {
            "type": "object",
            "properties": {"expression": {"type": "string"}},
            "required": ["expression"],
        },
    },
}


def alone(model: Magistral, question: str, **options: Any) -> tuple[Any, ...]:
    return said(collect(model.stream(question, **options)))


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1.2, "seed": 7}])
def test_together_as_alone(nano: Magistral, backend: Backend, options: dict[str, Any]) -> None:
    asked = [Asked(backend, question, **options) for question in QUESTIONS]
    for question, each in zip(QUESTIONS, asked, strict=True):
        assert said(each.reply) == alone(nano, question, **options)


def test_in_32_bits_too(backend: Backend, nano: Magistral) -> None:
    stored = nano.model.parameters()
    try:
        nano.model.set_dtype(mx.float32)
        mx.eval(nano.model.parameters())
        expected = [alone(nano, question, seed=3) for question in QUESTIONS[:3]]
        asked = [Asked(backend, question, seed=3) for question in QUESTIONS[:3]]
        assert [said(each.reply) for each in asked] == expected
    finally:
        nano.model.update(stored)


def test_each_has_its_own_options(nano: Magistral, backend: Backend) -> None:
    wanted: list[dict[str, Any]] = [
        {"temperature": 0, "think_budget": 8},
        {"temperature": 0.7, "seed": 1, "max_tokens": 12},
        {"temperature": 0, "repetition_penalty": 1.3, "max_tokens": 40},
        {"temperature": 0, "thinking": "skip", "max_tokens": 20},
        {"temperature": 0, "thinking": "force", "stop": ("boxed",)},
        {"temperature": 0, "think_budget": 3, "logprobs": 2},
        {"seed": 2, "thinking": "skip", "max_tokens": 90, "schema": ENDLESS, "on_loop": "off"},
    ]
    asked = [Asked(backend, **options) for options in wanted]
    for options, each in zip(wanted, asked, strict=True):
        assert said(each.reply) == alone(nano, "What is 37 + 48?", **options)
    wound_down = asked[-1].reply
    assert wound_down.finish_reason is FinishReason.LENGTH and wound_down.content is not None
    jsonschema.validate(json.loads(wound_down.content), ENDLESS)


def test_a_prompt_is_read_while_others_decode(endless_backend: Backend) -> None:
    """A long prompt comes in pieces, and whoever decodes says something between them."""
    first = Asked(endless_backend, "x", temperature=0, max_tokens=400, on_loop="off")
    first.has_begun.wait(60)
    seen: list[int] = []
    second = Asked(
        endless_backend,
        "word " * 150,
        temperature=0,
        max_tokens=3,
        on_event=lambda *_: seen.append(len(first.events)),
    )
    before = len(first.events)
    assert second.reply.usage.completion_tokens == 3
    assert seen[0] >= before + 2
    first.ticket.cancel()
    assert first.reply.finish_reason is FinishReason.INTERRUPTED


def test_a_place_is_taken_as_soon_as_it_is_free(endless_backend: Backend) -> None:
    lengths = (60, 10, 10, 10)
    order: list[int] = []

    def note(each: Asked, event: Any) -> None:
        if isinstance(event, Finished):
            order.append(event.usage.completion_tokens)

    asked = [
        Asked(endless_backend, "x", temperature=0, max_tokens=n, on_loop="off", on_event=note)
        for n in lengths
    ]
    for each in asked:
        assert each.reply.finish_reason is FinishReason.LENGTH
    assert order == [10, 10, 10, 60]


def test_answer_now_in_a_batch(backend: Backend) -> None:
    def hurry(each: Asked, event: Any) -> None:
        if isinstance(event, ReasoningDelta):
            each.ticket.answer_now()

    plain = Asked(backend, temperature=0)
    hurried = Asked(backend, temperature=0, think_close="enough", on_event=hurry)
    reply = hurried.reply
    # The id that was seen, the next at most, and the closing phrase.
    assert reply.reasoning is not None and reply.reasoning.endswith("enough")
    assert len(reply.reasoning) <= len("37") + len("enough")
    assert reply.content
    assert plain.reply.content == "The sum is $\\boxed{85}$."


def test_budget_in_a_batch(backend: Backend) -> None:
    asked = [Asked(backend, temperature=0, think_budget=n, think_close="") for n in (5, 20)]
    for budget, each in zip((5, 20), asked, strict=True):
        assert 0 < each.reply.usage.reasoning_tokens <= budget
        assert each.reply.limit is Limit.THINK_BUDGET


def test_schemas_and_tools_in_a_batch(backend: Backend) -> None:
    schema = {
        "type": "object",
        "properties": {"sum": {"type": "integer"}},
        "required": ["sum"],
        "additionalProperties": False,
    }
    structured = Asked(backend, temperature=0, schema=schema, max_tokens=200)
    called = Asked(backend, temperature=0, tools=[TOOL], tool_choice="required", max_tokens=200)
    plain = Asked(backend, temperature=0)
    jsonschema.validate(json.loads(structured.reply.content or ""), schema)
    assert [call.name for call in called.reply.tool_calls][:1] == ["calculator"]
    assert called.reply.finish_reason is FinishReason.TOOL_CALLS
    assert plain.reply.content == "The sum is $\\boxed{85}$."


def test_raw_prompts(nano: Magistral, backend: Backend) -> None:
    ids = nano.tokenizer.encode_chat("What is 37 + 48?")
    by_ids = Asked(backend, prompt=ids, temperature=0)
    assert said(by_ids.reply) == alone(nano, "What is 37 + 48?", temperature=0)
    text = Asked(backend, prompt="The sum is", temperature=0, max_tokens=4)
    assert text.reply.usage.prompt_tokens == 1 + len(nano.tokenizer.encode("The sum is"))


def test_stop_string_ends_a_reply_in_a_batch(backend: Backend) -> None:
    reply = Asked(backend, temperature=0, stop=("\\boxed{85", "never")).reply
    assert reply.content == "The sum is $"
    assert reply.finish_reason is FinishReason.STOP


def test_counting_needs_no_reply(nano: Magistral, backend: Backend) -> None:
    def count(text: str) -> int:
        return backend.count_tokens(GenerationRequest(messages=text))

    assert count("hello") == len(nano.tokenizer.encode_chat("hello"))
    assert count("word " * 5000) > backend.context_tokens


def test_content_is_told_in_order(backend: Backend) -> None:
    asked = Asked(backend, temperature=0).wait()
    kinds = [type(event) for event in asked.events]
    assert kinds == sorted(kinds, key=[ReasoningDelta, ContentDelta, Finished].index)
