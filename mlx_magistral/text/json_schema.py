"""JSON schemas as tools bring them: a walk over their inner schemas, and old drafts' words as new.

mistral-common checks a tool's parameters by draft 7 and the grammar reads draft 2020-12; tools in
the wild still say ``exclusiveMinimum: true`` (draft 4) or ``required: true`` (draft 3).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_MAPS = (
    *("properties", "patternProperties", "$defs", "definitions"),
    *("dependentSchemas", "dependencies"),
)
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = (
    *("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties", "additionalItems"),
)
# Where null is no value of its own, and so as good as absent.
_NEVER_NULL = frozenset(
    "type title description enum pattern format required minLength maxLength minItems maxItems "
    "uniqueItems minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minProperties "
    "maxProperties examples $ref $id $schema $comment readOnly writeOnly".split()
).union(_MAPS, _LISTS, _SINGLE)
_BOUNDS = (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum"))


def map_schemas(schema: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """The schema with ``change`` made to each schema right inside it."""
    changed = dict(schema)
    for key in _MAPS:
        if isinstance(schema.get(key), Mapping):
            changed[key] = {name: change(inner) for name, inner in schema[key].items()}
    for key in _LISTS:
        if key in schema:
            changed[key] = [change(inner) for inner in listed(schema, key)]
    for key in _SINGLE:
        if isinstance(schema.get(key), Mapping):
            changed[key] = change(schema[key])
    return changed


def listed(schema: Mapping[str, Any], key: str) -> Sequence[Any]:
    """A list in a schema; an empty one where there is none."""
    value = schema.get(key, [])
    return value if isinstance(value, list) else []


def modern_schema(schema: Any) -> Any:
    """The same in today's words; what is no schema is left as it is."""
    if not isinstance(schema, Mapping):
        return schema
    required = [
        name
        for name, inner in _properties(schema).items()
        if isinstance(inner, Mapping) and inner.get("required") is True
    ]
    given = {k: v for k, v in schema.items() if v is not None or k not in _NEVER_NULL}
    modern = map_schemas(given, modern_schema)
    if isinstance(modern.get("required"), bool):
        del modern["required"]
    if required:
        modern["required"] = [*dict.fromkeys([*listed(modern, "required"), *required])]
    for exclusive, inclusive in _BOUNDS:
        if isinstance(modern.get(exclusive), bool):
            is_exclusive = modern.pop(exclusive)
            if is_exclusive and inclusive in modern:
                modern[exclusive] = modern.pop(inclusive)
    if isinstance(modern.get("items"), list):
        modern["prefixItems"] = [modern_schema(each) for each in modern.pop("items")]
        if "additionalItems" in modern:
            modern["items"] = modern_schema(modern.pop("additionalItems"))
    if modern.get("type") == "any":
        del modern["type"]
    return modern


def without_foreign_patterns(schema: Any) -> Any:
    r"""The schema without the patterns that Python's ``re`` does not read: \p{L}, (?<name>…).

    JSON Schema's dialect is ECMA-262; who checks a schema in Python takes such a one for broken.
    """
    if not isinstance(schema, Mapping):
        return schema
    kept = map_schemas(schema, without_foreign_patterns)
    if isinstance(kept.get("pattern"), str) and not _is_python(kept["pattern"]):
        del kept["pattern"]
    by_pattern = kept.get("patternProperties")
    if isinstance(by_pattern, Mapping):
        kept["patternProperties"] = {key: by_pattern[key] for key in by_pattern if _is_python(key)}
    return kept


def _is_python(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}
