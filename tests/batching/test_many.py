"""generate_batch: many prompts together, their replies in the order they were asked in."""

import asyncio
from typing import Any

import pytest

from mlx_magistral import Magistral
from mlx_magistral.batching.many import BatchProgress
from mlx_magistral.errors import ContextLengthError, UsageError
from mlx_magistral.events import FinishReason, Reply

QUESTIONS = ["What is 37 + 48?", "Sort 5, 3.", "What is 2 + 3?"]


def test_replies_are_those_made_alone_in_the_order_of_the_prompts(nano: Magistral) -> None:
    together = nano.generate_batch(QUESTIONS, temperature=0, max_batch=2)
    alone = [nano.generate(each, temperature=0) for each in QUESTIONS]
    assert [reply.message for reply in together] == [reply.message for reply in alone]


def test_progress_and_each_reply_are_told(nano: Magistral) -> None:
    told: list[BatchProgress] = []
    seen: dict[int, Reply] = {}
    replies = nano.generate_batch(
        QUESTIONS, temperature=0, progress=told.append, on_reply=seen.__setitem__
    )
    assert [seen[index] for index in range(3)] == replies
    assert (told[-1].done, told[-1].total) == (3, 3)
    assert told[-1].tokens > 30 and "3 of 3 replies" in told[-1].line


def test_progress_on_stderr_is_its_last_line_where_that_is_no_terminal(
    nano: Magistral, capsys: pytest.CaptureFixture[str]
) -> None:
    nano.generate_batch(QUESTIONS[:1], max_tokens=3, progress=True)
    assert capsys.readouterr().err.startswith("1 of 1 replies, ")


def test_a_prompt_that_cannot_be_is_said_before_any_is_computed(nano: Magistral) -> None:
    seen: list[int] = []
    with pytest.raises(ContextLengthError):
        nano.generate_batch([QUESTIONS[0], "word " * 60_000], on_reply=lambda *each: seen.append(1))
    assert not seen


@pytest.mark.parametrize("is_async", [False, True])
def test_tools_are_called_in_every_conversation(nano: Magistral, is_async: bool) -> None:
    def product(expression: str) -> str:
        left, right = expression.split("*")
        return str(int(left) * int(right))

    def calculator(expression: str) -> str:
        """Calculate an arithmetic expression."""
        return product(expression)

    async def later(expression: str) -> str:
        """Calculate an arithmetic expression."""
        await asyncio.sleep(0)
        return product(expression)

    later.__name__ = "calculator"
    tool: Any = later if is_async else calculator
    questions = ["What is 4821 * 377?", "What is 5317 * 283?"]
    replies = nano.generate_batch(questions, tools=[tool], temperature=0)
    for reply, product_of in zip(replies, (4821 * 377, 5317 * 283), strict=True):
        assert str(product_of) in (reply.content or "")
        assert [message["role"] for message in reply.rounds] == ["assistant", "tool"]


def test_a_stream_goes_on_beside_a_batch(nano: Magistral) -> None:
    """A tool may ask the same model."""

    def calculator(expression: str) -> str:
        """Calculate an arithmetic expression."""
        return nano.generate("What is 37 + 48?", temperature=0).content or ""

    replies = nano.generate_batch(
        ["What is 4821 * 377?"] * 2, tools=[calculator], temperature=0, max_tool_rounds=1
    )
    assert all("85" in reply.rounds[1]["content"] for reply in replies)


@pytest.mark.parametrize(
    "options",
    [{"max_batch": 0}, {"max_batch": 1.5}, {"progress": "yes"}, {"on_reply": 5}, {"seed": "1"}],
    ids=str,
)
def test_wrong_values_are_named(nano: Magistral, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        nano.generate_batch(QUESTIONS, **options)
    with pytest.raises(UsageError, match="prompts must be a list, not 'hello'"):
        nano.generate_batch("hello")


def test_an_unloaded_model_is_read_again(nano: Magistral) -> None:
    loaded = Magistral.load("nano")
    loaded.unload()
    (reply,) = loaded.generate_batch(["hello"], max_tokens=2)
    assert reply.finish_reason is FinishReason.LENGTH
