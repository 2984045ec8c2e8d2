"""agenerate and astream: the same replies, and an event loop that goes on meanwhile."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from mlx_magistral import Magistral
from mlx_magistral.errors import ToolError, UsageError
from mlx_magistral.events import Event, Finished, FinishReason
from mlx_magistral.text.functions import run_tool, run_tool_now

QUESTION = "What is 37 + 48?"


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


def test_events_are_those_of_a_stream(nano: Magistral) -> None:
    async def collect() -> list[Event]:
        return [event async for event in nano.astream(QUESTION, temperature=0)]

    assert asyncio.run(collect())[:-1] == list(nano.stream(QUESTION, temperature=0))[:-1]


def test_several_tasks_take_turns_and_the_loop_goes_on(nano: Magistral) -> None:
    async def ask() -> tuple[list[str | None], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        replies = await asyncio.gather(*(nano.agenerate(QUESTION, temperature=0) for _ in "abc"))
        ticking.cancel()
        return [reply.content for reply in replies], ticks

    contents, ticks = asyncio.run(ask())
    assert contents == ["The sum is $\\boxed{85}$."] * 3 and ticks > 50


def test_a_cancelled_task_ends_its_reply(endless_model: Path) -> None:
    endless = Magistral.load(endless_model)

    async def ask() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(endless.agenerate("x", temperature=0), 0.2)
        # The model is free: what was cancelled computes no more.
        reply = await endless.agenerate("x", temperature=0, max_tokens=3)
        assert reply.usage.completion_tokens == 3

    asyncio.run(ask())


def test_cancel_and_answer_now_work_before_and_while_it_runs(nano: Magistral) -> None:
    async def ask() -> tuple[Event, list[Event]]:
        early = nano.astream(QUESTION, temperature=0)
        early.cancel()
        (ended,) = [event async for event in early]
        hurried = nano.astream(QUESTION, temperature=0, max_tokens=60)
        hurried.answer_now()
        return ended, [event async for event in hurried]

    ended, hurried = asyncio.run(ask())
    assert isinstance(ended, Finished) and ended.reason is FinishReason.INTERRUPTED
    stream = nano.stream(QUESTION, temperature=0, max_tokens=60)
    stream.answer_now()
    assert hurried[:-1] == list(stream)[:-1]
    assert hurried[:-1] != list(nano.stream(QUESTION, temperature=0, max_tokens=60))[:-1]


def test_what_cannot_be_asked_for_is_raised_at_the_first_event(nano: Magistral) -> None:
    stream = nano.astream(QUESTION, max_tokens=0)
    with pytest.raises(UsageError, match="max_tokens"):
        asyncio.run(anext(stream))  # type: ignore[arg-type]


def test_async_tools_are_awaited_and_others_run_in_threads(nano: Magistral) -> None:
    threads: list[threading.Thread] = []

    async def calculator(expression: str) -> str:
        """Calculate an arithmetic expression."""
        threads.append(threading.current_thread())
        left, right = expression.split("*")
        await asyncio.sleep(0)
        return str(int(left) * int(right))

    reply = asyncio.run(nano.agenerate("What is 4821 * 377?", tools=[calculator], temperature=0))
    assert str(4821 * 377) in (reply.content or "")
    assert threads == [threading.main_thread()]
    # Where nobody is on a loop, generate makes one.
    waited = nano.generate("What is 4821 * 377?", tools=[calculator], temperature=0)
    assert waited.messages[-1] == reply.messages[-1]
    seen = asyncio.run(run_tool(threading.current_thread().getName, "{}"))
    assert seen == "MainThread"


async def forecast(city: str) -> dict[str, Any]:
    """Weather."""
    if city == "Atlantis":
        raise ToolError("there is no such city")
    return {"city": city}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"city": "Bonn"}', {"city": "Bonn"}),
        ('{"city": "Atlantis"}', {"error": "there is no such city"}),
        ('{"town": "Bonn"}', {"error": "missing a required argument: 'city'"}),
    ],
)
def test_an_async_tool_gives_what_a_plain_one_does(arguments: str, expected: object) -> None:
    assert json.loads(run_tool_now(forecast, arguments)) == expected


def test_an_async_tool_on_a_running_loop_is_refused_by_name() -> None:
    async def inside() -> None:
        with pytest.raises(UsageError, match="forecast is an async tool.*Use agenerate"):
            run_tool_now(forecast, '{"city": "Bonn"}')

    asyncio.run(inside())
