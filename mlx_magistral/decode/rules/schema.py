"""What becomes of a JSON schema before a grammar is made of it. No mlx, no llguidance.

The grammar's language may be smaller than the schema's and never larger, unless it is lenient: then
what cannot be enforced is left out, and the finished answer is checked (check.py).
"""

import json
import re
from collections.abc import Mapping
from itertools import permutations, product
from typing import Any

from mlx_magistral.decode.rules.formats import ANY_TEXT, FORMAT_PATTERNS, NATIVE
from mlx_magistral.decode.rules.patterns import ecma_pattern, is_enforceable
from mlx_magistral.errors import UsageError
from mlx_magistral.text.json_schema import listed, map_schemas, modern_schema

# JSON on one line, with a space or none after a colon or comma. llguidance's own white space
# repeats without end, whatever its pattern, and a small model pads for as long as it is let.
_SEPARATORS = {"whitespace_flexible": False, "key_separator": ": ?", "item_separator": ", ?"}

# What every JSON reader takes as an exact integer (RFC 8259); without an end, digits have none.
_LARGEST = 2**53 - 1

# Of so many values all orders are listed: 326 for five.
_FEW = 5

# Where an object meets several schemas at once, each has to leave room for the others' names.
_JOINING = ("allOf", "oneOf", "anyOf", "$ref")
_OPEN = ("additionalProperties", "patternProperties", "unevaluatedProperties", *_JOINING)
# What no grammar without a memory can hold an answer to, or llguidance does not.
_NOT_HELD = frozenset(
    "uniqueItems contains minContains maxContains propertyNames dependencies dependentRequired "
    "dependentSchemas if then else not unevaluatedProperties unevaluatedItems".split()
)


def grammar_schema(schema: Mapping[str, Any], *, is_lenient: bool = False) -> str:
    """The JSON text that a grammar's ``%json`` takes.

    Objects that name their properties get no others unless the schema speaks of others: a model
    that may make up names goes on making them up. ``is_lenient`` drops what cannot be enforced,
    where it would be refused otherwise. Integers without an end end where they are exact, and
    formats that formats.py knows become its patterns. Raises UsageError for what llguidance
    takes and does not hold to.
    """
    return json_text(held_schema(schema, is_lenient=is_lenient), is_lenient=is_lenient)


def json_text(held: Mapping[str, Any], *, is_lenient: bool = False) -> str:
    """A held schema as ``%json`` takes it."""
    return json.dumps({"x-guidance": {**_SEPARATORS, "lenient": is_lenient}, **held})


def held_schema(schema: Mapping[str, Any], *, is_lenient: bool = False) -> dict[str, Any]:
    """The schema that the grammar holds an answer to; see grammar_schema."""
    modern = _without_sets(modern_schema(schema))
    if is_lenient:
        modern = loosened(modern)
    else:
        _refuse_unheld(modern)
    closed = modern if _joins_objects(modern) else _closed(modern)
    held: dict[str, Any] = _with_patterns(_in_rust(closed, is_lenient))
    return held


def loosened(schema: Any) -> Any:
    """Without what no grammar can hold an answer to; the same schema where there is none."""
    if not isinstance(schema, Mapping):
        return schema
    kept = {key: value for key, value in schema.items() if key not in _NOT_HELD}
    if "oneOf" in kept and "anyOf" not in kept:
        kept["anyOf"] = kept.pop("oneOf")
    name = kept.get("format")
    if isinstance(name, str) and name not in FORMAT_PATTERNS.keys() | NATIVE:
        del kept["format"]
    if _problem(kept) is not None:
        kept.pop("patternProperties", None)
        kept.pop("minProperties", None)
    by_pattern = kept.get("patternProperties")
    if isinstance(by_pattern, Mapping) and not all(map(is_enforceable, by_pattern)):
        kept.pop("patternProperties")
        kept.pop("additionalProperties", None)  # it would refuse those names
    if isinstance(kept.get("$ref"), str) and not kept["$ref"].startswith("#"):
        del kept["$ref"]
    if isinstance(kept.get("pattern"), str) and not is_enforceable(kept["pattern"]):
        del kept["pattern"]
    return map_schemas(kept, loosened)


def _without_sets(schema: Any) -> Any:
    """Arrays of different items from a few as the list of all there are; others as they are."""
    if not isinstance(schema, Mapping):
        return schema
    changed = map_schemas(schema, _without_sets)
    if "uniqueItems" not in schema:
        return changed
    low, high, items = schema.get("minItems", 0), schema.get("maxItems"), schema.get("items")
    if schema["uniqueItems"] is not True or high in (0, 1):
        del changed["uniqueItems"]
        return changed
    values = items.get("enum") if isinstance(items, Mapping) else None
    if not isinstance(values, list) or len(values) > _FEW or not isinstance(low, int):
        return changed
    most = min(high, len(values)) if isinstance(high, int) else len(values)
    sets = [list(each) for size in range(low, most + 1) for each in permutations(values, size)]
    notes = {key: schema[key] for key in ("title", "description") if key in schema}
    return {**notes, "enum": sets} if sets else changed


def _closed(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    closed = map_schemas(schema, _closed)
    properties = schema.get("properties")
    is_named = (
        isinstance(properties, Mapping)
        and bool(properties)
        and not schema.keys() & set(_OPEN)
        and set(listed(schema, "required")) <= properties.keys()
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
    if not isinstance(schema, Mapping):
        return
    map_schemas(schema, _refuse_unheld)
    problem = _problem(schema)
    if problem is not None:
        raise UsageError(f"The schema cannot be enforced: {problem}. Leave that part out of it.")


def _problem(schema: Mapping[str, Any]) -> str | None:
    """Names that no property names may repeat, and those that one does meet its schema alone."""
    problem = None
    required, least = listed(schema, "required"), schema.get("minProperties", 0)
    if isinstance(least, int) and least > len(required) + 1:
        problem = f"minProperties {least} with {len(required)} required"
    maps = [schema.get(key) for key in ("patternProperties", "properties")]
    patterns, named = (each if isinstance(each, Mapping) else {} for each in maps)
    for pattern, name in product(patterns, [*named, *required]):
        if _matches(pattern, name):
            problem = f"patternProperties {pattern!r} that covers the property {name!r} too"
    return problem


def _matches(pattern: str, name: Any) -> bool:
    try:
        return isinstance(name, str) and re.search(pattern, name) is not None
    except re.error:
        return True  # nobody knows


def _in_rust(schema: Any, is_lenient: bool) -> Any:
    """With every pattern translated, or left out where it cannot be and that is no matter."""
    if not isinstance(schema, Mapping):
        return schema
    changed = map_schemas(schema, lambda inner: _in_rust(inner, is_lenient))
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
    changed = map_schemas(schema, _with_patterns)
    name = schema.get("format")
    if not isinstance(name, str):
        return changed
    if name in ANY_TEXT or not _may_be_text(schema):
        del changed["format"]
        return changed
    if name not in FORMAT_PATTERNS:
        return changed
    del changed["format"]
    pattern = {"pattern": FORMAT_PATTERNS[name]}
    if "pattern" not in schema:
        return {**changed, **pattern}
    return {**changed, "allOf": [*listed(changed, "allOf"), pattern]}


def _may_be_text(schema: Mapping[str, Any]) -> bool:
    """Whether a format means anything: OpenAPI's int32 stands beside a number's type."""
    types = schema.get("type", "string")
    return types == "string" or (isinstance(types, list) and "string" in types)


def _joins_objects(schema: Any) -> bool:
    """Whether some object has to obey two schemas of which each may name properties."""
    if not isinstance(schema, Mapping):
        return False
    joins = schema.keys() & {*_JOINING}
    if joins & {"allOf", "oneOf"} or len(joins) > 1 or (joins and "properties" in schema):
        return True
    found: list[bool] = []
    map_schemas(schema, lambda inner: found.append(_joins_objects(inner)))
    return any(found)
