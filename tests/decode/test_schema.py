"""Schemas before they are grammars: closed where that loses no other schema's names, else alone."""

import json
from typing import Any

import jsonschema
import pytest

from mlx_magistral.decode.rules.schema import grammar_schema


def rewritten(schema: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(grammar_schema(schema))
    del document["x-guidance"]
    return document


NAMED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def test_objects_that_name_their_properties_get_no_others() -> None:
    for outer in (
        {"type": "array", "items": NAMED},
        {"anyOf": [NAMED, {"type": "null"}]},
        {"$defs": {"x": NAMED}, "$ref": "#/$defs/x"},
        {"type": "object", "properties": {"properties": NAMED}},
    ):
        text = json.dumps(rewritten(outer))
        assert text.count('"additionalProperties": false') == text.count('"properties": {"')
        assert "additionalProperties" not in json.dumps(outer)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {**NAMED, "additionalProperties": True},
        {**NAMED, "patternProperties": {"^x": {}}},
        {**NAMED, "required": ["a", "b"]},
        {**NAMED, "minProperties": 2},
        {"allOf": [NAMED, {"properties": {"b": {}}}]},
        {"oneOf": [NAMED, {"type": "string"}]},
        {**NAMED, "anyOf": [{"properties": {"b": {}}}]},
        {"const": NAMED},
    ],
)
def test_others_stay_as_they_are(schema: dict[str, Any]) -> None:
    assert rewritten(schema) == schema


def test_integers_end_where_they_are_exact() -> None:
    assert rewritten({"type": "integer", "minimum": 3}) == {
        "type": "integer",
        "minimum": 3,
        "maximum": 2**53 - 1,
    }
    jsonschema.validate(2**53 - 1, rewritten({"type": "integer"}))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(2**53, rewritten({"type": "integer"}))
