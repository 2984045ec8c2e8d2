"""A pydantic class as schema: what is enforced, what comes back, and what does not."""

import asyncio
from collections.abc import Callable
from typing import Literal

import pytest
from pydantic import BaseModel, field_validator

from mlx_magistral import Magistral
from mlx_magistral.errors import UsageError
from mlx_magistral.events import ParsedReply

QUESTION = "What is 37 + 48?"


class Sum(BaseModel):
    sum: Literal[84, 85]


class Refusing(Sum):
    @field_validator("sum")
    @classmethod
    def refuse(cls, value: int) -> int:
        raise ValueError("no sum is good enough")


class Unspeakable(BaseModel):
    call: Callable[[], None]


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


def test_the_answer_is_an_instance_of_the_class(nano: Magistral) -> None:
    reply = nano.generate(QUESTION, schema=Sum, think_budget=100, seed=1)
    assert isinstance(reply, ParsedReply) and isinstance(reply.parsed, Sum)
    assert reply.content is not None and Sum.model_validate_json(reply.content) == reply.parsed
    assert "parsed" not in reply.to_dict()
    later = asyncio.run(nano.agenerate(QUESTION, schema=Sum, think_budget=100, seed=1))
    assert later.parsed == reply.parsed
    (batched,) = nano.generate_batch([QUESTION], schema=Sum, think_budget=100, seed=1)
    assert isinstance(batched.parsed, Sum)


def test_what_is_cut_short_or_refused_is_not_parsed(nano: Magistral) -> None:
    cut = nano.generate(QUESTION, schema=Sum, max_tokens=3)
    assert cut.parsed is None
    refused = nano.generate(QUESTION, schema=Refusing, think_budget=100, seed=1)
    assert refused.parsed is None
    assert refused.invalid is not None
    assert refused.invalid.startswith("Refusing refuses it: sum: Value error, no sum is good")


def test_a_dict_gives_a_plain_reply(nano: Magistral) -> None:
    reply = nano.generate(QUESTION, schema=Sum.model_json_schema(), think_budget=100, seed=1)
    assert not isinstance(reply, ParsedReply) and reply.parsed is None


def test_a_class_without_a_json_schema_is_refused(nano: Magistral) -> None:
    with pytest.raises(UsageError, match="Unspeakable has no JSON schema"):
        nano.stream(QUESTION, schema=Unspeakable)
    with pytest.raises(UsageError, match="schema must be"):
        nano.stream(QUESTION, schema=int)  # type: ignore[arg-type]
