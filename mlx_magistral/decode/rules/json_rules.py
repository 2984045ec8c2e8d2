r"""A JSON schema as rules of llguidance's grammar language. No mlx, no llguidance.

llguidance's own ``%json`` writes strings with the escapes that JSON demands and no others: a model
that begins ``\u00e9`` is held to a control character. Objects, arrays, alternatives, references and
free strings are therefore rules here, where a string takes every escape that JSON has. What else a
schema may say (numbers, patterns, formats, joined schemas) stays a ``%json`` of its own.

Keys that no schema names are spelled in one way alone, so that none is a named one in disguise.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_HEX = "[0-9a-fA-F]"
# A character of a string: as it is, or by any escape; surrogates in pairs alone.
_CHARACTER = (
    r'([^"\\\x00-\x1F\x7F]|\\["\\\/bfnrt]'
    rf"|\\u([0-9a-cA-CeEfF]{_HEX}{{3}}|[dD][0-7]{_HEX}{{2}})"
    rf"|\\u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}})"
)
TERMINALS = rf"""COLON: /: ?/
COMMA: /, ?/
STRING: /"{_CHARACTER}*"/
PLAIN: /"([^"\\\x00-\x1F\x7F]|\\["\\bfnrt])*"/"""

# What says nothing about which values are valid.
_NOTES = frozenset(
    "title description default examples example $comment deprecated readOnly writeOnly $schema $id "
    "id $defs definitions contentMediaType contentEncoding contentSchema".split()
)
_OF_NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_OF_KIND: dict[str, set[str]] = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength"},
    "number": _OF_NUMBERS,
    "integer": _OF_NUMBERS,
    "boolean": set(),
    "null": set(),
}
_ANY_KINDS = ["object", "array", "string", "number", "boolean", "null"]
_LONGEST = 2000

# The expression of what stays a ``%json``.
MakeLeaf = Callable[[dict[str, Any]], str]


class JsonRules:
    """Rules of several schemas, each by ``add``; ``lines`` are all of them."""

    def __init__(self, make_leaf: MakeLeaf) -> None:
        self.lines: list[str] = []
        self._make_leaf = make_leaf
        self._names: dict[tuple[int, str], str] = {}
        self._keys: dict[str, str] = {}
        self._root: Mapping[str, Any] = {}
        self._documents = 0

    def add(self, schema: Mapping[str, Any]) -> str:
        """The name of a rule for the values of a schema, which is a document of its own."""
        self._root = schema
        self._documents += 1
        return self._rule(schema)

    def _rule(self, schema: Any) -> str:
        """A rule's name; equal schemas of a document share one, which ends references too."""
        key = self._documents, json.dumps(schema, sort_keys=True)
        if key not in self._names:
            name = self._names[key] = f"json_{len(self._names)}"
            self.lines.append(f"{name}: {self._expression(schema)}")
        return self._names[key]

    def _expression(self, schema: Any) -> str:
        if not isinstance(schema, Mapping):
            return self._kinds(_ANY_KINDS, {}) if schema is True else self._leaf(schema)
        said = schema.keys() - _NOTES
        if said == {"$ref"}:
            target = self._target(schema["$ref"])
            return self._leaf(schema) if target is None else self._rule(target)
        if said == {"anyOf"} and isinstance(schema["anyOf"], list) and schema["anyOf"]:
            return " | ".join(self._rule(each) for each in schema["anyOf"])
        kinds = schema.get("type", _ANY_KINDS)
        kinds = kinds if isinstance(kinds, list) else [kinds]
        is_known = kinds and all(isinstance(kind, str) and kind in _OF_KIND for kind in kinds)
        if not is_known or not said <= {"type"}.union(*(_OF_KIND[kind] for kind in kinds)):
            return self._leaf(schema)
        return self._kinds(kinds, schema)

    def _kinds(self, kinds: Sequence[str], schema: Mapping[str, Any]) -> str:
        return " | ".join(self._kind(kind, schema) for kind in kinds)

    def _kind(self, kind: str, schema: Mapping[str, Any]) -> str:
        own = {key: schema[key] for key in schema if key in _OF_KIND[kind]}
        made = None
        match kind:
            case "object":
                made = self._object(own)
            case "array":
                made = self._array(own)
            case "string":
                made = _string(own)
            case "boolean":
                made = '"true" | "false"'
            case "null":
                made = '"null"'
        return self._leaf({"type": kind, **own}) if made is None else made

    def _array(self, own: Mapping[str, Any]) -> str | None:
        first, items = own.get("prefixItems", []), own.get("items", True)
        low, high = own.get("minItems", 0), own.get("maxItems")
        if (
            not isinstance(first, list)
            or not _is_count(low)
            or not (high is None or _is_count(high))
        ):
            return None
        if items is False:
            high = len(first) if high is None else min(high, len(first))
        if high is not None and (low > high or high == 0):
            return '"[" "]"' if high == low == 0 else None
        # From the end back: all that may come once the items before are there.
        more = ""
        if high is None or high > len(first):
            least = max(low - len(first), 0)
            most = None if high is None else high - len(first)
            more = self._repeated(self._rule(items), least, most, is_first=not first)
        for at in range(min(len(first), len(first) if high is None else high) - 1, -1, -1):
            more = f"{'COMMA ' if at else ''}{self._rule(first[at])} {more}".rstrip()
            more = more if at < low else f"({more})?"
        return f'"[" {more} "]"'

    def _repeated(self, item: str, least: int, most: int | None, *, is_first: bool) -> str:
        """Items in a row, with a comma before each but the first of an array."""
        if not is_first:
            return f"(COMMA {item}){_times(least, most)}"
        more = "" if most == 1 else f"(COMMA {item}){_times(least - 1, most and most - 1)}"
        return f"{item} {more}" if least else f"({item} {more})?"

    def _object(self, own: Mapping[str, Any]) -> str | None:
        properties, required = own.get("properties", {}), own.get("required", [])
        others = own.get("additionalProperties", True)
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            return None
        unnamed = [name for name in required if name not in properties]
        if (unnamed and others is False) or any(
            inner is False and name in required for name, inner in properties.items()
        ):
            return None
        named = {**properties, **{str(name): others for name in unnamed}}
        members = [
            (f"{_quoted(name)} COLON {self._rule(inner)}", name in required)
            for name, inner in named.items()
            if inner is not False
        ]
        other = ""
        if others is not False:
            other = f"{self._key(list(named))} COLON {self._rule(others)}"
        return f'"{{" {self._members(members, other)} "}}"'

    def _members(self, members: Sequence[tuple[str, bool]], other: str) -> str:
        """Named members in their order, the required ones always, and then any others.

        Two chains from the last member back: what may come as the first of all, and after one.
        """
        first = self._part(f"{other} (COMMA {other})* |" if other else "")
        after = self._part(f"(COMMA {other})*" if other else "")
        for member, is_required in reversed(members):
            one, more = f"{member} {after}", f"COMMA {member} {after}"
            first = self._part(one if is_required else f"{one} | {first}")
            after = self._part(more if is_required else f"{more} | {after}")
        return first

    def _part(self, expression: str) -> str:
        """A short name for an expression that others repeat; nothing for nothing."""
        if not expression:
            return ""
        key = 0, expression
        if key not in self._names:
            self._names[key] = f"part_{len(self._names)}"
            self.lines.append(f"{self._names[key]}: {expression.strip()}")
        return self._names[key]

    def _key(self, names: Sequence[str]) -> str:
        """A terminal for the keys that are not named."""
        if not names:
            return "PLAIN"
        body = f"PLAIN & ~({' | '.join(map(_quoted, sorted(names)))})"
        if body not in self._keys:
            self._keys[body] = f"KEY_{len(self._keys)}"
            self.lines.append(f"{self._keys[body]}: {body}")
        return self._keys[body]

    def _target(self, reference: Any) -> Any:
        """What a reference into its own document means; None for any other."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        found: Any = self._root
        for step in reference[1:].split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or step not in found:
                return None
            found = found[step]
        # One that leads to a reference again may lead round in a circle.
        return None if isinstance(found, Mapping) and "$ref" in found else found

    def _leaf(self, schema: Any) -> str:
        """What ``%json`` takes, with what its references point to."""
        if not isinstance(schema, Mapping):
            return self._make_leaf({"type": []} if schema is False else {"const": schema})
        shared = {}
        if "$ref" in json.dumps(schema):
            shared = {key: self._root[key] for key in ("$defs", "definitions") if key in self._root}
        return self._make_leaf({**shared, **schema})


def _string(own: Mapping[str, Any]) -> str | None:
    low, high = own.get("minLength", 0), own.get("maxLength")
    if low == 0 and high is None:
        return "STRING"
    if not _is_count(low) or not (high is None or (_is_count(high) and high >= low)):
        return None
    return rf'/"{_CHARACTER}{{{low},{"" if high is None else high}}}"/'


def _times(least: int, most: int | None) -> str:
    least = max(least, 0)
    if most is None:
        return "*" if least == 0 else f"{{{least},}}"
    return f"{{{least},{most}}}"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LONGEST


def _quoted(name: str) -> str:
    """A property's name in the grammar's quotes, as it stands in JSON."""
    return json.dumps(json.dumps(name, ensure_ascii=False), ensure_ascii=False)
