"""Random JSON schemas of the features that grammars enforce, each with an end to every answer."""

import random
from typing import Any

Schema = dict[str, Any]

_NAMES = ["a", "name", "total", "is_ok", "größe", "x y", 'q"uote', "id"]
_FORMATS = ["date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
_PATTERNS = ["^[a-c]{2,5}$", "^x[0-9]{1,4}y?$", "^(ja|nein|ümlaut)$", r"^\d{2}-\d{3}$", "^.{0,4}!$"]
_LEAVES = ("string", "integer", "number", "fixed", "enum", "const", "format", "pattern", "types")
_BRANCHES = ("object", "array", "tuple", "union", "reference", "tree", "map")


def random_schema(rng: random.Random, depth: int = 2) -> Schema:
    """A schema that nests up to ``depth`` levels."""
    if not depth or rng.random() < 0.3:
        return _leaf(rng)
    match rng.choice(_BRANCHES):
        case "array":
            low = rng.randint(0, 2)
            items = random_schema(rng, depth - 1)
            return {"type": "array", "items": items, "minItems": low, "maxItems": low + 2}
        case "tuple":
            items_each = [random_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]
            size = len(items_each)
            return {"type": "array", "prefixItems": items_each, "minItems": size, "items": False}
        case "union":
            return {"anyOf": [random_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]}
        case "map":
            return {
                "type": "object",
                "patternProperties": {"^k[0-9]$": _leaf(rng)},
                "additionalProperties": False,
                "maxProperties": rng.randint(0, 3),
            }
        case "reference":
            return _reference(rng, depth)
        case "tree":
            return _tree(rng)
        case _:
            return _object(rng, depth)


def with_definitions(schema: Schema) -> Schema:
    """The schema as a document: what its references point to stands at its root."""
    found: Schema = {}
    return {**_without_definitions(schema, found), **({"$defs": found} if found else {})}


def keywords(schema: Any) -> set[str]:
    """Every key anywhere in a schema, properties' names too."""
    if isinstance(schema, list):
        return set().union(*map(keywords, schema))
    if not isinstance(schema, dict):
        return set()
    return schema.keys() | keywords(list(schema.values()))


def _leaf(rng: random.Random) -> Schema:
    match rng.choice(_LEAVES):
        case "string":
            low = rng.randint(0, 3)
            return {"type": "string", "minLength": low, "maxLength": low + rng.randint(0, 8)}
        case "integer":
            low = rng.randint(-50, 50)
            bounds = {"minimum": low, "maximum": low + rng.randint(8, 200)}
            step = {"multipleOf": rng.randint(2, 4)} if low >= 0 and rng.random() < 0.3 else {}
            return {"type": "integer", **bounds, **step}
        case "number":
            low = rng.randint(-5, 5)
            return {"type": "number", "exclusiveMinimum": low, "maximum": low + rng.randint(1, 20)}
        case "fixed":
            return {"type": rng.choice(["boolean", "null", "integer"])}
        case "enum":
            return {"enum": rng.sample([1, 2.5, "one", "ü", None, True, 'a"b', [1, "x"]], 3)}
        case "const":
            return {"const": rng.choice(["yes", 12, {"k": 1}, "\n\\"])}
        case "format":
            return {"type": "string", "format": rng.choice(_FORMATS)}
        case "types":
            return {"type": ["string", "null", "integer"], "maxLength": 3, "minimum": 0}
        case _:
            return {"type": "string", "pattern": rng.choice(_PATTERNS)}


def _object(rng: random.Random, depth: int) -> Schema:
    names = rng.sample(_NAMES, rng.randint(0, 4))
    return {
        "type": "object",
        "properties": {name: random_schema(rng, depth - 1) for name in names},
        "required": [name for name in names if rng.random() < 0.6],
        "additionalProperties": False,
    }


def _reference(rng: random.Random, depth: int) -> Schema:
    name = f"shared{rng.randrange(10**6)}"
    pair = {"type": "array", "items": {"$ref": f"#/$defs/{name}"}, "maxItems": 2}
    return {"$defs": {name: random_schema(rng, depth - 1)}, **pair}


def _tree(rng: random.Random) -> Schema:
    """A node that may hold another: the only schema here whose answers have no longest."""
    name = f"node{rng.randrange(10**6)}"
    properties = {
        "value": _leaf(rng),
        "next": {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]},
    }
    node = {"type": "object", "properties": properties, "required": ["value", "next"]}
    return {"$defs": {name: {**node, "additionalProperties": False}}, "$ref": f"#/$defs/{name}"}


def _without_definitions(schema: Any, found: Schema) -> Any:
    if isinstance(schema, list):
        return [_without_definitions(each, found) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _without_definitions(value, found) for key, value in schema.items()}
    found.update(inner.pop("$defs", {}))
    return inner
