"""Finished answers against their schemas, where no grammar held them."""

from typing import Any

import pytest

from mlx_magistral.decode.rules.check import AnswerCheck
from mlx_magistral.events import ContentDelta, ToolCallDelta


def problem(schema: dict[str, Any], text: str) -> str | None:
    check = AnswerCheck(schema, [])
    check.feed(ContentDelta(text))
    return check.problem()


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        (r"^(?!é)\p{L}+$", "té", "été"),
        (r"^(?<year>\d{4})$", "1999", "199"),
        (r"\bfoo\b", "a foo", "food"),
        (r"^(a)\1$", "aa", "ab"),
    ],
)
def test_a_pattern_of_any_dialect_is_checked(pattern: str, right: str, wrong: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    assert problem(schema, f'{{"a": "{right}"}}') is None
    found = problem(schema, f'{{"a": "{wrong}"}}')
    assert found is not None and found.startswith("The answer breaks its schema: a: ")


def test_a_pattern_that_nobody_reads_leaves_the_rest_checked() -> None:
    schema = {"properties": {"a": {"pattern": "("}, "b": {"type": "integer"}}}
    assert problem(schema, '{"a": "x", "b": 1}') is None
    assert "b:" in str(problem(schema, '{"a": "x", "b": "y"}'))


def test_a_pattern_that_never_ends_is_given_up() -> None:
    schema = {"type": "string", "pattern": r"^(?=x)(x|xx|xxx)+$"}
    assert problem(schema, f'"{"x" * 99}y"') is None


def test_calls_are_checked_by_their_parameters() -> None:
    parameters = {"type": "object", "properties": {"n": {"type": "integer", "minimum": None}}}
    check = AnswerCheck(None, [{"name": "f", "parameters": parameters}])
    check.feed(ToolCallDelta(0, "abc", "f", ""))
    check.feed(ToolCallDelta(0, None, None, '{"n": "x"}'))
    assert str(check.problem()).startswith("The call of f breaks its parameters: n: ")
