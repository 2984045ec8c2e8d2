"""The real OpenAI and Anthropic clients against nano, through uvicorn on loopback."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, BadRequestError, OpenAI
from pydantic import BaseModel, ConfigDict

QUESTION = [{"role": "user", "content": "What is 37 + 48?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"expression": {"type": "string"}},
    "required": ["expression"],
}
# anthropic's client no longer names it.
GREEDY = {"temperature": 0}
ABOUT = "Calculate an arithmetic expression."
TOOL = {
    "type": "function",
    "function": {"name": "calculator", "description": ABOUT, "parameters": PARAMETERS},
}


class Sum(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sum: int


@pytest.fixture
def openai(nano_url: str) -> Any:
    with OpenAI(base_url=f"{nano_url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic(nano_url: str) -> Any:
    with Anthropic(base_url=nano_url, api_key="none", max_retries=0) as client:
        yield client


def test_chat_has_reasoning_twice_and_never_in_content(openai: Any) -> None:
    reply = openai.chat.completions.create(model="nano", messages=QUESTION, temperature=0)
    message = reply.choices[0].message
    assert message.content == "The sum is $\\boxed{85}$."
    assert message.reasoning and message.reasoning == message.reasoning_content
    assert reply.choices[0].finish_reason == "stop"
    details = reply.usage.completion_tokens_details
    assert 0 < details.reasoning_tokens < reply.usage.completion_tokens


def test_streamed_chat_is_the_whole_one(openai: Any) -> None:
    chunks = list(
        openai.chat.completions.create(
            model="nano",
            messages=QUESTION,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "The sum is $\\boxed{85}$."
    thoughts = [getattr(delta, "reasoning", None) for delta in deltas]
    assert sum(thought is not None for thought in thoughts) > 3
    assert thoughts == [getattr(delta, "reasoning_content", None) for delta in deltas]
    assert chunks[-1].usage.total_tokens > 0


def test_tools_make_the_round_trip(openai: Any) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is 4821 * 377?"}]
    given = {"model": "nano", "tools": [TOOL], "temperature": 0}
    first = openai.chat.completions.create(messages=messages, **given).choices[0]
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls
    assert len(call.id) == 9 and "4821" in json.loads(call.function.arguments)["expression"]
    messages += [
        first.message.model_dump(),
        {"role": "tool", "tool_call_id": call.id, "content": "1817517"},
    ]
    assert "1817517" in openai.chat.completions.create(messages=messages, **given).choices[
        0
    ].message.content.replace(",", "")


def test_structured_parse(openai: Any) -> None:
    reply = openai.chat.completions.parse(
        model="nano", messages=QUESTION, response_format=Sum, temperature=0
    )
    assert isinstance(reply.choices[0].message.parsed, Sum)
    assert reply.choices[0].message.reasoning


def test_n_stop_and_logprobs(openai: Any) -> None:
    reply = openai.chat.completions.create(
        model="nano",
        messages=QUESTION,
        n=2,
        seed=1,
        stop=["boxed"],
        logprobs=True,
        top_logprobs=2,
        temperature=0,
    )
    assert [choice.message.content for choice in reply.choices] == ["The sum is $\\"] * 2
    content = reply.choices[0].logprobs.content
    assert content and all(len(each.top_logprobs) == 2 for each in content)


def test_history_with_thinking_is_the_same_prompt_in_every_form(nano_url: str) -> None:
    text = {"type": "text", "text": "The sum is 85."}
    pieces = [{"type": "text", "text": "7+8=15"}]
    forms: list[dict[str, Any]] = [
        {"content": text["text"], "reasoning": "7+8=15"},
        {"content": text["text"], "reasoning_content": "7+8=15"},
        {"content": text["text"], "reasoning": "7+8=15", "reasoning_content": "7+8=15"},
        {"content": [{"type": "thinking", "thinking": "7+8=15"}, text]},
        {"content": [{"type": "thinking", "thinking": pieces}, text]},
        {"content": text["text"]},
    ]
    counts = []
    for form in forms:
        messages = [*QUESTION, {"role": "assistant", **form}, {"role": "user", "content": "now 5"}]
        reply = httpx.post(f"{nano_url}/tokenize", json={"messages": messages})
        counts.append(reply.json()["count"])
    assert len(set(counts[:5])) == 1 and counts[0] > counts[5]


def test_unsupported_field_is_refused_by_name(openai: Any) -> None:
    with pytest.raises(BadRequestError) as refused:
        openai.chat.completions.create(model="nano", messages=QUESTION, audio={})
    assert refused.value.param == "audio"
    assert refused.value.code == "unsupported_parameter"


def test_async_clients(nano_url: str) -> None:
    async def ask() -> tuple[Any, Any]:
        async with (
            AsyncOpenAI(base_url=f"{nano_url}/v1", api_key="none") as one,
            AsyncAnthropic(base_url=nano_url, api_key="none") as two,
        ):
            asked = {"model": "nano", "messages": QUESTION, "extra_body": GREEDY}
            return await asyncio.gather(
                one.chat.completions.create(**asked),
                two.messages.create(max_tokens=200, **asked),
            )

    chat, message = asyncio.run(ask())
    assert chat.choices[0].message.content == message.content[-1].text


def test_completions(openai: Any) -> None:
    reply = openai.completions.create(model="nano", prompt="The sum", max_tokens=4, temperature=0)
    assert reply.usage.completion_tokens <= 4
    pieces = openai.completions.create(
        model="nano", prompt="The sum", max_tokens=4, temperature=0, stream=True
    )
    assert "".join(piece.choices[0].text for piece in pieces) == reply.choices[0].text


def test_responses(openai: Any) -> None:
    reply = openai.responses.create(model="nano", input="What is 37 + 48?", temperature=0)
    assert reply.output_text == "The sum is $\\boxed{85}$."
    assert [item.type for item in reply.output] == ["reasoning", "message"]
    assert reply.usage.output_tokens_details.reasoning_tokens > 0


def test_responses_stream_in_order(openai: Any) -> None:
    with openai.responses.stream(model="nano", input="What is 37 + 48?", temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_response()
    names = list(dict.fromkeys(event.type for event in events))
    assert names == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "The sum is $\\boxed{85}$."


def test_responses_tools_make_the_round_trip(openai: Any) -> None:
    tool = {"type": "function", **TOOL["function"]}  # type: ignore[dict-item]
    given = {"model": "nano", "tools": [tool], "temperature": 0}
    asked: list[Any] = [{"role": "user", "content": "What is 4821 * 377?"}]
    first = openai.responses.create(input=asked, **given)
    call = first.output[-1]
    assert call.type == "function_call" and call.name == "calculator"
    asked += [item.model_dump(exclude_none=True) for item in first.output]
    asked += [{"type": "function_call_output", "call_id": call.call_id, "output": "1817517"}]
    second = openai.responses.create(input=asked, **given)
    assert "1817517" in second.output_text.replace(",", "")


def test_messages_stream_and_whole_agree(anthropic: Any) -> None:
    asked = {"model": "nano", "max_tokens": 200, "messages": QUESTION, "extra_body": GREEDY}
    whole = anthropic.messages.create(**asked)
    with anthropic.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert streamed.content[0].thinking == whole.content[0].thinking
    assert streamed.content[1].text == whole.content[1].text == "The sum is $\\boxed{85}$."
    assert whole.stop_reason == streamed.stop_reason == "end_turn"
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_messages_tools_make_the_round_trip(anthropic: Any) -> None:
    tool = {"name": "calculator", "description": ABOUT, "input_schema": PARAMETERS}
    given = {"model": "nano", "max_tokens": 300, "tools": [tool], "extra_body": GREEDY}
    messages: list[Any] = [{"role": "user", "content": "What is 4821 * 377?"}]
    with anthropic.messages.stream(messages=messages, **given) as stream:
        first = stream.get_final_message()
    assert first.stop_reason == "tool_use"
    call = first.content[-1]
    assert "4821" in call.input["expression"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "1817517"}
    messages += [
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": [result]},
    ]
    second = anthropic.messages.create(messages=messages, **given)
    assert "1817517" in second.content[-1].text.replace(",", "")


def test_count_tokens_and_budget(anthropic: Any) -> None:
    asked = {"model": "nano", "messages": QUESTION}
    counted = anthropic.messages.count_tokens(**asked).input_tokens
    reply = anthropic.messages.create(
        max_tokens=200, thinking={"type": "disabled"}, stop_sequences=["boxed"], **asked
    )
    assert [block.type for block in reply.content] == ["text"]
    assert counted > 0


def test_models(openai: Any) -> None:
    assert [model.id for model in openai.models.list()] == ["nano"]
    assert openai.models.retrieve("nano").id == "nano"
