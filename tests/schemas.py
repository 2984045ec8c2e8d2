"""Random JSON schemas of the features that grammars enforce, each with a finite answer likely."""

import random
from typing import Any

_NAMES = ["a", "name", "total", "is_ok", "größe", "x y", "id"]


def random_schema(rng: random.Random, depth: int = 2) -> dict[str, Any]:
    kinds = ["string", "integer", "number", "boolean", "null", "enum", "const", "format", "pattern"]
    if depth:
        kinds += ["object", "array", "tuple", "anyOf", "ref", "map"] * 2
    kind = rng.choice(kinds)
    match kind:
        case "string":
            low = rng.randint(0, 3)
            return {"type": "string", "minLength": low, "maxLength": low + rng.randint(0, 8)}
        case "integer":
            low = rng.randint(-50, 50)
            return {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 200)}
        case "number":
            low = rng.randint(-5, 5)
            return {"type": "number", "exclusiveMinimum": low, "maximum": low + rng.randint(1, 20)}
        case "boolean" | "null":
            return {"type": kind}
        case "enum":
            return {"enum": rng.sample([1, 2.5, "one", "ü", None, True, 'a"b', [1, "x"]], 3)}
        case "const":
            return {"const": rng.choice(["yes", 12, {"k": 1}])}
        case "format":
            return {"type": "string", "format": rng.choice(["date", "time", "uuid", "ipv4"])}
        case "pattern":
            return {"type": "string", "pattern": rng.choice(["^[a-c]{2,5}$", "^x[0-9]+y?$"])}
        case "array":
            low = rng.randint(0, 2)
            items = random_schema(rng, depth - 1)
            return {"type": "array", "items": items, "minItems": low, "maxItems": low + 2}
        case "tuple":
            items_each = [random_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]
            size = len(items_each)
            return {"type": "array", "prefixItems": items_each, "minItems": size, "items": False}
        case "anyOf":
            return {"anyOf": [random_schema(rng, depth - 1) for _ in range(2)]}
        case "map":
            return {
                "type": "object",
                "patternProperties": {"^k[0-9]$": random_schema(rng, 0)},
                "additionalProperties": False,
            }
        case "ref":
            inner = random_schema(rng, 0)
            if depth < 2:
                return inner
            pair = {"type": "array", "items": {"$ref": "#/$defs/inner"}, "maxItems": 2}
            return {"$defs": {"inner": inner}, **pair}
        case _:
            return _object(rng, depth)


def _object(rng: random.Random, depth: int) -> dict[str, Any]:
    names = rng.sample(_NAMES, rng.randint(0, 4))
    return {
        "type": "object",
        "properties": {name: random_schema(rng, depth - 1) for name in names},
        "required": [name for name in names if rng.random() < 0.6],
        "additionalProperties": False,
    }
