"""What becomes of a JSON schema before a grammar is made of it. No mlx, no llguidance.

The grammar's language may be smaller than the schema's and never larger: every answer validates.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# JSON on one line, with a space or none after a colon or comma. llguidance's own white space
# repeats without end, whatever its pattern, and a small model pads for as long as it is let.
_SEPARATORS = {"whitespace_flexible": False, "key_separator": ": ?", "item_separator": ", ?"}

# What every JSON reader takes as an exact integer (RFC 8259); without an end, digits have none.
_LARGEST = 2**53 - 1

_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")
# Where an object meets several schemas at once, each has to leave room for the others' names.
_JOINING = ("allOf", "oneOf", "anyOf", "$ref")
_OPEN = ("additionalProperties", "patternProperties", "unevaluatedProperties", *_JOINING)


def grammar_schema(schema: Mapping[str, Any], *, is_lenient: bool = False) -> str:
    """The JSON text that a grammar's ``%json`` takes.

    Objects that name their properties get no others unless the schema speaks of others: a model
    that may make up names goes on making them up. ``is_lenient`` drops what cannot be enforced,
    where it would be refused otherwise. Integers without an end end where they are exact.
    """
    closed = schema if _joins_objects(schema) else _closed(schema)
    options = {**_SEPARATORS, "lenient": is_lenient}
    return json.dumps({"x-guidance": options, **closed})


def _closed(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    closed = _mapped(schema, _closed)
    properties = schema.get("properties")
    is_named = (
        isinstance(properties, Mapping)
        and bool(properties)
        and not schema.keys() & set(_OPEN)
        and set(_listed(schema, "required")) <= properties.keys()
        and schema.get("minProperties", 0) <= len(properties)
    )
    if is_named:
        closed["additionalProperties"] = False
    if schema.get("type") == "integer" and not schema.keys() & {"enum", "const", "multipleOf"}:
        if not schema.keys() & {"minimum", "exclusiveMinimum"}:
            closed["minimum"] = -_LARGEST
        if not schema.keys() & {"maximum", "exclusiveMaximum"}:
            closed["maximum"] = _LARGEST
    return closed


def _joins_objects(schema: Any) -> bool:
    """Whether some object has to obey two schemas of which each may name properties."""
    if not isinstance(schema, Mapping):
        return False
    joins = schema.keys() & {*_JOINING}
    if joins & {"allOf", "oneOf"} or len(joins) > 1 or (joins and "properties" in schema):
        return True
    found: list[bool] = []
    _mapped(schema, lambda inner: found.append(_joins_objects(inner)))
    return any(found)


def _mapped(schema: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """The schema with ``change`` made to each schema right inside it."""
    changed = dict(schema)
    for key in _MAPS:
        if isinstance(schema.get(key), Mapping):
            changed[key] = {name: change(inner) for name, inner in schema[key].items()}
    for key in _LISTS:
        if key in schema:
            changed[key] = [change(inner) for inner in _listed(schema, key)]
    for key in _SINGLE:
        if isinstance(schema.get(key), Mapping):
            changed[key] = change(schema[key])
    return changed


def _listed(schema: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = schema.get(key, [])
    return value if isinstance(value, list) else []
