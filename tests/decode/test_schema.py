"""Schemas before they are grammars: closed where that loses no other schema's names, else alone."""

import json
import re
from datetime import date
from itertools import product
from typing import Any

import jsonschema
import pytest

from mlx_magistral.decode.rules.formats import FORMAT_PATTERNS
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


def test_formats_become_patterns_wherever_they_stand() -> None:
    day = {"type": "string", "format": "date"}
    pattern = {"type": "string", "pattern": FORMAT_PATTERNS["date"]}
    assert rewritten(day) == pattern
    for outer in ("anyOf", "oneOf", "allOf", "prefixItems"):
        assert rewritten({outer: [day]}) == {outer: [pattern]}
    assert rewritten({"items": day, "$defs": {"format": day}})["$defs"] == {"format": pattern}
    both = rewritten({**day, "pattern": "^2"})
    assert both == {"type": "string", "pattern": "^2", "allOf": [{"pattern": pattern["pattern"]}]}
    assert rewritten({"const": day}) == {"const": day}


def test_dates_are_those_of_the_calendar() -> None:
    """Every day number of every month, in years of each kind."""
    for year in (1000, 1900, 1999, 2000, 2023, 2024, 2100, 2400, 9996):
        for month, day in product(range(14), range(33)):
            text = f"{year:04}-{month:02}-{day:02}"
            try:
                date.fromisoformat(text)
                exists = True
            except ValueError:
                exists = False
            assert (re.search(FORMAT_PATTERNS["date"], text) is not None) == exists, text
