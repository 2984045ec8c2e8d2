"""What the clients can do beside asking: async streams, tool choice, going on, answering now."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from mlx_magistral import Magistral
from mlx_magistral.server.batching import make_backend

from .conftest import serving
from .test_clients import QUESTION, TOOL

STRICT = {**TOOL, "function": {**TOOL["function"], "strict": True}}


@pytest.fixture
def openai(nano_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{nano_url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_openai_async_stream(nano_url: str) -> None:
    async def run() -> tuple[str, str]:
        async with AsyncOpenAI(base_url=f"{nano_url}/v1", api_key="none") as client:
            stream: Any = await client.chat.completions.create(
                model="nano", messages=QUESTION, temperature=0, stream=True
            )
            deltas = [chunk.choices[0].delta async for chunk in stream]
        thoughts = "".join(getattr(delta, "reasoning", None) or "" for delta in deltas)
        return thoughts, "".join(delta.content or "" for delta in deltas)

    thoughts, content = asyncio.run(run())
    assert thoughts.startswith("37+48") and content == "The sum is $\\boxed{85}$."


def test_anthropic_async_stream(nano_url: str) -> None:
    async def run() -> Any:
        async with AsyncAnthropic(base_url=nano_url, api_key="none") as client:
            async with client.messages.stream(
                model="nano", max_tokens=500, messages=QUESTION, extra_body={"temperature": 0}
            ) as stream:
                kinds = [event.type async for event in stream]
                return kinds, await stream.get_final_message()

    kinds, message = asyncio.run(run())
    assert "content_block_delta" in kinds and kinds[-1] == "message_stop"
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[1].text == "The sum is $\\boxed{85}$."


def test_a_named_tool_is_called(openai: OpenAI) -> None:
    named: Any = {"type": "function", "function": {"name": "calculator"}}
    for choice in ("required", named):
        reply = openai.chat.completions.create(
            model="nano",
            messages=QUESTION,  # type: ignore[arg-type]
            tools=[STRICT],  # type: ignore[list-item]
            tool_choice=choice,
            parallel_tool_calls=False,
            temperature=0,
            max_tokens=300,
        )
        (call,) = reply.choices[0].message.tool_calls or []
        assert call.function.name == "calculator" and len(call.id) == 9  # type: ignore[union-attr]


def test_json_object(openai: OpenAI) -> None:
    reply = openai.chat.completions.create(
        model="nano",
        messages=QUESTION,  # type: ignore[arg-type]
        response_format={"type": "json_object"},
        seed=1,
        max_tokens=400,
    )
    if reply.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(reply.choices[0].message.content or ""), dict)


@pytest.mark.parametrize(("effort", "has_thoughts"), [("none", False), ("low", True)])
def test_effort(openai: OpenAI, effort: Any, has_thoughts: bool) -> None:
    reply = openai.chat.completions.create(
        model="nano",
        messages=QUESTION,  # type: ignore[arg-type]
        reasoning_effort=effort,
        temperature=0,
    )
    assert bool(getattr(reply.choices[0].message, "reasoning", None)) is has_thoughts


def test_several_replies_of_a_seed_are_those_of_its_successors(openai: OpenAI) -> None:
    def contents(**options: Any) -> list[str | None]:
        reply = openai.chat.completions.create(
            model="nano", messages=QUESTION, temperature=1.5, max_tokens=40, **options
        )
        return [choice.message.content for choice in reply.choices]

    three = contents(n=3, seed=5)
    assert three == [*contents(seed=5), *contents(seed=6), *contents(seed=7)]


@pytest.mark.parametrize("is_thinking", [True, False])
def test_a_reply_goes_on(openai: OpenAI, is_thinking: bool) -> None:
    def ask(messages: Any) -> tuple[str, str]:
        reply = openai.chat.completions.create(model="nano", messages=messages, temperature=0)
        message = reply.choices[0].message
        return getattr(message, "reasoning", None) or "", message.content or ""

    thoughts, content = ask(QUESTION)
    begun = {"reasoning": thoughts[:12]}
    if not is_thinking:
        begun = {"reasoning": thoughts, "content": content[:7]}
    rest = ask([*QUESTION, {"role": "assistant", "prefix": True, **begun}])
    assert begun["reasoning"] + rest[0] == thoughts
    assert begun.get("content", "") + rest[1] == content


def test_answer_now_on_a_stream(endless_model: Path) -> None:
    prefix = {"role": "assistant", "prefix": True, "reasoning": "Well"}
    body = {"model": "x", "messages": [*QUESTION, prefix], "stream": True, "max_tokens": 5000}
    backend = make_backend(Magistral.load(endless_model))
    with serving(backend) as url, httpx.Client(base_url=url, timeout=60) as client:
        with client.stream("POST", "/v1/chat/completions", json=body) as response:
            parts = (json.loads(line[6:]) for line in response.iter_lines() if line[:6] == "data: ")
            for part in parts:
                delta = part["choices"][0]["delta"]
                if delta.get("reasoning"):
                    path = f"/v1/chat/completions/{part['id']}/answer_now"
                    assert httpx.post(url + path).status_code == 200
                if delta.get("content"):
                    break
        assert httpx.post(url + path).status_code == 404


def test_the_next_turn_computes_only_what_is_new() -> None:
    backend = make_backend(Magistral.load("nano", reuse_prefixes=True))
    with serving(backend) as url, OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        messages: list[Any] = list(QUESTION)
        first = client.chat.completions.create(model="nano", messages=messages, temperature=0)
        answer = first.choices[0].message.content
        messages += [
            {"role": "assistant", "content": answer},
            {"role": "user", "content": "now add 5"},
        ]
        second = client.chat.completions.create(model="nano", messages=messages, temperature=0)
    assert first.usage is not None and second.usage is not None
    details = second.usage.prompt_tokens_details
    assert details is not None and details.cached_tokens == first.usage.prompt_tokens


def test_idle_weights_come_back_for_the_next_request() -> None:
    model = Magistral.load("nano")
    with serving(make_backend(model, idle_unload_s=0.05)) as url:
        with OpenAI(base_url=f"{url}/v1", api_key="none") as client:
            contents = []
            for _ in range(2):
                reply = client.chat.completions.create(
                    model="nano",
                    messages=QUESTION,  # type: ignore[arg-type]
                    temperature=0,
                )
                contents.append(reply.choices[0].message.content)
                deadline = 200
                while model.is_loaded and deadline:
                    httpx.get(f"{url}/health")
                    deadline -= 1
    assert contents == ["The sum is $\\boxed{85}$."] * 2
