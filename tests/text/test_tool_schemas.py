"""Parameters of tools as they come: other dialects' patterns and null fields are no errors."""

import json
from typing import Any

import pytest

from mlx_magistral.errors import PromptError
from mlx_magistral.text.json_schema import without_foreign_patterns
from mlx_magistral.text.tokenizer import Tokenizer

FOREIGN = [r"^\p{L}+$", r"^(?<year>\d{4})$", "("]


def tool(inner: Any, name: str = "f") -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"a": inner}}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def prompt(tokenizer: Tokenizer, inner: Any) -> str:
    return tokenizer.decode(tokenizer.encode_chat("hi", [tool(inner)]))


@pytest.mark.parametrize("pattern", FOREIGN)
def test_a_pattern_of_another_dialect_reaches_the_model_as_it_is(
    tokenizer: Tokenizer, pattern: str
) -> None:
    for make in (
        lambda text: {"type": "string", "pattern": text},
        lambda text: {"type": "object", "patternProperties": {text: {"type": "string"}}},
        lambda text: {"items": {"if": {"pattern": text}, "else": {"not": {"pattern": text}}}},
        lambda text: {"dependentSchemas": {"b": {"pattern": text}}},
    ):
        plain = prompt(tokenizer, make("plain"))
        assert prompt(tokenizer, make(pattern)) == plain.replace("plain", json.dumps(pattern)[1:-1])


def test_pythons_own_patterns_stay() -> None:
    schema = {"pattern": "^a", "patternProperties": {"^b": {"pattern": "c$"}}}
    assert without_foreign_patterns(schema) == schema


def test_null_fields_of_a_schema_are_absent(tokenizer: Tokenizer) -> None:
    null = dict.fromkeys(["description", "enum", "pattern", "minLength", "items", "anyOf", "$ref"])
    assert prompt(tokenizer, {"type": "string", **null}) == prompt(tokenizer, {"type": "string"})
    kept = prompt(tokenizer, {"default": None, "const": None, "enum": [None], "x-own": None})
    assert '{"default": null, "const": null, "enum": [null], "x-own": null}' in kept


def test_a_tool_that_is_refused_is_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(PromptError, match=r"^tools\[1\] \(g\): Invalid tool schema: \[\] is not"):
        tokenizer.encode_chat("hi", [tool({}), tool({"properties": []}, "g")])
