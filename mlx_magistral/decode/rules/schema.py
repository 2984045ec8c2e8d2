"""What becomes of a JSON schema before a grammar is made of it. No mlx, no llguidance.

The grammar's language may be smaller than the schema's and never larger: every answer validates.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from mlx_magistral.decode.rules.formats import FORMAT_PATTERNS
from mlx_magistral.decode.rules.patterns import ecma_pattern
from mlx_magistral.errors import UsageError

# JSON on one line, with a space or none after a colon or comma. llguidance's own white space
# repeats without end, whatever its pattern, and a small model pads for as long as it is let.
_SEPARATORS = {"whitespace_flexible": False, "key_separator": ": ?", "item_separator": ", ?"}

# What every JSON reader takes as an exact integer (RFC 8259); without an end, digits have none.
_LARGEST = 2**53 - 1

_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")
# Where an object meets several schemas at once, each has to leave room for the others' names.
_JOINING = ("allOf", "oneOf", "anyOf", "$ref")
_OPEN = ("additionalProperties", "patternProperties", "unevaluatedProperties", *_JOINING)


def grammar_schema(schema: Mapping[str, Any], *, is_lenient: bool = False) -> str:
    """The JSON text that a grammar's ``%json`` takes.

    Objects that name their properties get no others unless the schema speaks of others: a model
    that may make up names goes on making them up. ``is_lenient`` drops what cannot be enforced,
    where it would be refused otherwise. Integers without an end end where they are exact, and
    formats that formats.py knows become its patterns. Raises UsageError for what llguidance
    takes and does not hold to.
    """
    if not is_lenient:
        _refuse_unheld(schema)
    closed = schema if _joins_objects(schema) else _closed(schema)
    options = {**_SEPARATORS, "lenient": is_lenient}
    translated = _in_rust(closed, is_lenient)
    return json.dumps({"x-guidance": options, **_with_patterns(translated)})


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
    if _is_integer(schema.get("type")) and not schema.keys() & {"enum", "const", "multipleOf"}:
        if not schema.keys() & {"minimum", "exclusiveMinimum"}:
            closed["minimum"] = -_LARGEST
        if not schema.keys() & {"maximum", "exclusiveMaximum"}:
            closed["maximum"] = _LARGEST
    return closed


def _is_integer(types: Any) -> bool:
    return types == "integer" or (isinstance(types, list) and "integer" in types)


def _refuse_unheld(schema: Any) -> None:
    """Names that no property names may repeat, and those that one does meet its schema alone."""
    if not isinstance(schema, Mapping):
        return
    _mapped(schema, _refuse_unheld)
    problem = None
    required, least = _listed(schema, "required"), schema.get("minProperties", 0)
    if isinstance(least, int) and least > len(required) + 1:
        problem = f"minProperties {least} with {len(required)} required"
    maps = [schema.get(key) for key in ("patternProperties", "properties")]
    patterns, named = (each if isinstance(each, Mapping) else {} for each in maps)
    for pattern, name in product(patterns, [*named, *required]):
        if _matches(pattern, name):
            problem = f"patternProperties {pattern!r} that covers the property {name!r} too"
    if problem is not None:
        raise UsageError(f"The schema cannot be enforced: {problem}. Leave that part out of it.")


def _matches(pattern: str, name: Any) -> bool:
    try:
        return isinstance(name, str) and re.search(pattern, name) is not None
    except re.error:
        return True  # nobody knows


def _in_rust(schema: Any, is_lenient: bool) -> Any:
    """With every pattern translated, or left out where it cannot be and that is no matter."""
    if not isinstance(schema, Mapping):
        return schema
    changed = _mapped(schema, lambda inner: _in_rust(inner, is_lenient))
    by_pattern = changed.get("patternProperties")
    if isinstance(by_pattern, dict):
        changed["patternProperties"] = {ecma_pattern(key): by_pattern[key] for key in by_pattern}
    if isinstance(schema.get("pattern"), str):
        try:
            changed["pattern"] = ecma_pattern(schema["pattern"])
        except UsageError:
            if not is_lenient:
                raise
            del changed["pattern"]
    return changed


def _with_patterns(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    changed = _mapped(schema, _with_patterns)
    name = schema.get("format")
    if not isinstance(name, str) or name not in FORMAT_PATTERNS:
        return changed
    del changed["format"]
    pattern = {"pattern": FORMAT_PATTERNS[name]}
    if "pattern" not in schema:
        return {**changed, **pattern}
    return {**changed, "allOf": [*_listed(changed, "allOf"), pattern]}


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
