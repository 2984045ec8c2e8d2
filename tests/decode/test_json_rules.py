r"""Schemas as rules: every escape in free strings, and nothing let through that is not valid."""

import json
from typing import Any

import jsonschema_rs
import pytest

from mlx_magistral.decode.rules.formats import FORMAT_PATTERNS
from mlx_magistral.decode.rules.grammar import answer_grammar
from mlx_magistral.decode.rules.guidance import Guidance, make_matcher
from mlx_magistral.decode.rules.schema import held_schema, loosened
from mlx_magistral.errors import UsageError
from mlx_magistral.text.json_schema import modern_schema
from mlx_magistral.text.tokenizer import Tokenizer

Takes = Any


@pytest.fixture
def takes(tokenizer: Tokenizer, guidance: Guidance) -> Takes:
    """Whether a text is an answer under a schema."""

    def takes(schema: Any, text: str, **form: Any) -> bool:
        grammar = answer_grammar(tokenizer, schema=schema, **form)
        matcher = make_matcher(grammar, guidance.bytewise)
        ids = [tokenizer.control_count + byte for byte in text.encode()]
        return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()

    return takes


ESCAPED = r"\u00e9\/\"\\\b\f\n\r\t\u0001\u002f\ud83d\ude00é/"


@pytest.mark.parametrize(
    ("schema", "before", "after"),
    [
        ({"type": "string"}, "", ""),
        ({"type": "string", "minLength": 14, "maxLength": 14}, "", ""),
        ({"type": ["null", "string"]}, "", ""),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "", ""),
        ({}, "", ""),
        ({"type": "array", "items": {"type": "string"}}, "[", "]"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "[", "]"),
        ({"type": "object"}, '{"a": ', "}"),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, '{"a": ', "}"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, '{"a": ', "}"),
        ({"$defs": {"x": {"type": "string"}}, "$ref": "#/$defs/x"}, "", ""),
        ({"type": "object", "required": ["a"]}, '{"a": [', "]}"),
    ],
)
def test_a_free_string_takes_every_escape_of_json(
    takes: Takes, schema: Any, before: str, after: str
) -> None:
    text = f'{before}"{ESCAPED}"{after}'
    json.loads(text)
    assert takes(schema, text)
    for broken in (r"\x", r"\u12", r"\ud83d", r"\ude00", r"\ud83d\u0041", "\n", "\\"):
        assert not takes(schema, f'{before}"{broken}"{after}'), broken


def test_lengths_count_characters_however_they_are_spelled(takes: Takes) -> None:
    schema = {"type": "string", "minLength": 2, "maxLength": 3}
    for text, is_taken in [
        (r'"é"', False),
        (r'"\u00e9"', False),
        (r'"\ud83d\ude00"', False),
        (r'"\ud83d\ude00\/"', True),
        ('"😀😀😀"', True),
        (r'"\n\n\n"', True),
        (r'"\n\n\n\n"', False),
        (r'"abcd"', False),
    ]:
        assert takes(schema, text) is is_taken, text


def test_a_patterns_string_is_never_held_to_a_control_character(takes: Takes) -> None:
    schema = {"type": "string", "pattern": "^.{1,6}$"}
    assert takes(schema, '"aé"') and takes(schema, r'"\t"')
    assert not takes(schema, r'"\u0001"')


OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string"},
        "b": {"type": "integer", "minimum": 0, "maximum": 9},
        "c": {"type": "boolean"},
    },
    "required": ["b"],
}
OPEN = {**OBJECT, "additionalProperties": {"type": "null"}}
UNNAMED = {"type": "object", "properties": {"a": {}}, "required": ["z", "a"]}


@pytest.mark.parametrize(
    ("schema", "text", "is_taken"),
    [
        (OBJECT, '{"b": 1}', True),
        (OBJECT, '{"a": "x", "b": 1, "c": true}', True),
        (OBJECT, '{"a":"x","b":1}', True),
        (OBJECT, '{"a": "x"}', False),
        (OBJECT, '{"b": 1, "a": "x"}', False),
        (OBJECT, '{"b": 1, "d": null}', False),
        (OBJECT, '{"b": 10}', False),
        (OBJECT, "{}", False),
        (OPEN, '{"b": 1, "d": null}', True),
        (OPEN, '{"b": 1, "c": false, "d": null, "é": null}', True),
        (OPEN, '{"b": 1, "d": 3}', False),
        (OPEN, '{"b": 1, "a": null}', False),
        (OPEN, r'{"b": 1, "\u0061": null}', False),
        (OPEN, '{"d": null}', False),
        ({**OBJECT, "required": []}, "{}", True),
        ({**OPEN, "required": []}, '{"d": null}', True),
        (UNNAMED, '{"a": 1, "z": 2}', True),
        (UNNAMED, '{"a": 1}', False),
        ({"type": "object", "additionalProperties": False}, "{}", True),
        ({"type": "object", "additionalProperties": False}, '{"a": 1}', False),
        ({"type": "object", "properties": {"a": False, "b": {}}}, '{"b": 1}', True),
        ({"type": "object", "properties": {"a": False, "b": {}}}, '{"a": 1}', False),
        ({"minLength": 2}, '"a"', False),
        ({"minLength": 2}, '"ab"', True),
        ({"minLength": 2}, "3", True),
        ({"type": "array", "minItems": 1, "maxItems": 2}, "[]", False),
        ({"type": "array", "minItems": 1, "maxItems": 2}, "[1, 2]", True),
        ({"type": "array", "minItems": 1, "maxItems": 2}, "[1, 2, 3]", False),
        ({"type": "array", "maxItems": 0}, "[]", True),
        ({"type": "array", "maxItems": 0}, "[1]", False),
        ({"type": "array", "minItems": 2}, "[1, 2, 3, 4]", True),
        ({"type": "array", "minItems": 2}, "[1]", False),
    ],
)
def test_containers(takes: Takes, schema: Any, text: str, is_taken: bool) -> None:
    assert takes(schema, text) is is_taken
    if is_taken:
        assert jsonschema_rs.is_valid(schema, json.loads(text))


PAIR = [{"type": "string"}, {"type": "integer", "minimum": 0, "maximum": 9}]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"items": False},
        {"minItems": 2, "items": False},
        {"minItems": 1, "maxItems": 1},
        {"minItems": 3, "items": {"type": "null"}},
        {"items": {"type": "null"}, "maxItems": 3},
        {"maxItems": 0},
    ],
)
def test_tuples(takes: Takes, more: dict[str, Any]) -> None:
    schema = {"type": "array", "prefixItems": PAIR, **more}
    texts = ["[]", '["a"]', '["a", 1]', "[1]", '["a", "b"]', '["a", 1, null]']
    texts += ['["a", 1, null, null]', '["a", 1, null, 2]']
    for text in texts:
        assert takes(schema, text) is jsonschema_rs.is_valid(schema, json.loads(text)), text


def test_references_go_round(takes: Takes) -> None:
    node = {
        "type": "object",
        "properties": {"v": {"type": "string"}, "next": {"$ref": "#"}},
        "required": ["v"],
        "additionalProperties": False,
    }
    assert takes(node, r'{"v": "\/", "next": {"v": "b"}}')
    assert not takes(node, '{"v": "a", "next": {}}')
    lists = {"$defs": {"l": {"type": "array", "items": {"$ref": "#/$defs/l"}}}}
    assert takes({**lists, "$ref": "#/$defs/l"}, "[[], [[]]]")
    circle = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    assert not takes({**circle, "$ref": "#/$defs/a"}, "1")


URIS = [
    *("https://example.org", "http://a.b:8080/x/y?q=1&r=%20#frag", "ftp://h/f", "mailto:a@b.org"),
    *("urn:isbn:0451450523", "file:///etc/hosts"),
]


def test_uris_are_uris(takes: Takes) -> None:
    schema = {"type": "string", "format": "uri", "minLength": 1, "maxLength": 2083}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    for text in URIS:
        assert takes(schema, json.dumps(text)) and validator.is_valid(text), text
    for text in ("", "example.org", "http://", "http://a b", "http://[", "//x", "http://a:99999/"):
        assert not takes(schema, json.dumps(text)), text


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("uri-reference", ["a/b", "/a", "../x?y#z", *URIS]),
        ("iri", URIS),
        ("json-pointer", ["", "/a/b~1c/0", "/~0"]),
        ("relative-json-pointer", ["0", "1/a", "2#"]),
        ("idn-email", ["a@b.org"]),
        ("idn-hostname", ["example.org"]),
    ],
)
def test_formats_that_others_know(takes: Takes, name: str, texts: list[str]) -> None:
    schema = {"type": "string", "format": name}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    assert name in FORMAT_PATTERNS
    for text in texts:
        assert takes(schema, json.dumps(text)) and validator.is_valid(text), text


def test_formats_that_say_nothing(takes: Takes) -> None:
    for schema in ({"type": "string", "format": "path"}, {"type": "integer", "format": "int32"}):
        assert takes(schema, '"/tmp/x"' if schema["type"] == "string" else "5")
    with pytest.raises(UsageError, match="colour"):
        takes({"type": "string", "format": "colour"}, '"red"')
    assert takes({"type": "string", "format": "colour"}, '"red"', is_schema_lenient=True)


def test_sets_of_a_few_values_are_sets(takes: Takes) -> None:
    schema = {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True}
    for text, is_taken in [
        ("[]", True),
        ('["b", "a"]', True),
        ('["a", "b", "c"]', True),
        ('["a", "a"]', False),
        ('["d"]', False),
    ]:
        assert takes(schema, text) is is_taken, text
    assert not takes({**schema, "minItems": 1}, "[]")
    assert takes({"type": "array", "uniqueItems": False}, "[1, 1]")
    assert takes({"type": "array", "uniqueItems": True, "maxItems": 1}, "[1]")
    with pytest.raises(UsageError, match="uniqueItems"):
        takes({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "[]")


def test_words_of_old_drafts_are_read(takes: Takes) -> None:
    old = {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 9},
            "p": {"type": "array", "items": [{"type": "integer"}], "additionalItems": False},
            "q": {"type": "any", "required": True},
        },
    }
    modern = modern_schema(old)
    assert modern["required"] == ["q"] and "required" not in modern["properties"]["q"]
    assert modern["properties"]["n"]["exclusiveMinimum"] == 0
    jsonschema_rs.validator_for(modern)
    assert takes(old, '{"n": 1, "p": [2], "q": null}')
    for text in ('{"n": 0, "q": 1}', '{"n": 1}', '{"p": [1, 2], "q": 1}'):
        assert not takes(old, text), text


UNHELD: dict[str, Any] = {
    "look-ahead": {"type": "string", "pattern": "^(?!a)b"},
    "look-behind": {"type": "string", "pattern": "(?<=a)b"},
    "word border": {"type": "string", "pattern": r"\bb\b"},
    "back reference": {"type": "string", "pattern": r"(b)\1"},
    "flags": {"type": "string", "pattern": "(?i)b"},
    "unknown property": {"type": "string", "pattern": r"\p{Script=Klingon}"},
    "unknown format": {"type": "string", "format": "colour"},
    "uniqueItems": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    "not": {"type": "string", "not": {"const": "b"}},
    "if": {"if": {"type": "string"}, "then": {"minLength": 3}},
    "oneOf": {"oneOf": [{"type": "string"}, {"type": "string", "minLength": 2}]},
    "elsewhere": {"$ref": "http://example.org/x"},
    "names": {"type": "object", "propertyNames": {"maxLength": 2}},
    "count": {"type": "object", "minProperties": 2},
    "dependencies": {"type": "object", "dependentRequired": {"a": ["b"]}},
    "odd names": {"type": "object", "patternProperties": {"(?=a)": {}}},
}


@pytest.mark.parametrize("unheld", UNHELD.values(), ids=UNHELD.keys())
def test_one_part_that_cannot_be_held_takes_nothing_of_the_others(
    tokenizer: Tokenizer, guidance: Guidance, unheld: dict[str, Any]
) -> None:
    """Refused where the form is strict; else the other property is held as before."""
    from mlx_magistral.decode.rules.grammar import AnswerForm, form_grammar
    from mlx_magistral.decode.rules.guidance import compiles

    held = {"type": "integer", "minimum": 0, "maximum": 9}
    schema = {"type": "object", "properties": {"n": held, "x": unheld}, "required": ["n"]}
    with pytest.raises(UsageError):
        make_matcher(answer_grammar(tokenizer, schema=schema), guidance.bytewise)
    form = AnswerForm(schema=schema, is_schema_lenient=True)
    grammar = form_grammar(tokenizer, form, lambda part: compiles(part, guidance.bytewise))
    matcher = make_matcher(grammar, guidance.bytewise)

    def takes(text: str) -> bool:
        copy = matcher.deep_copy()
        ids = [tokenizer.control_count + byte for byte in text.encode()]
        return copy.try_consume_tokens(ids) == len(ids) and copy.is_accepting()

    value = {"array": '["b"]', "object": '{"a": 1}'}.get(unheld.get("type", ""), '"b"')
    assert takes(f'{{"n": 1, "x": {value}}}') and takes('{"n": 1}')
    assert not takes('{"n": 10}') and not takes("{}")


def test_what_can_be_held_is_not_loosened() -> None:
    for schema in (OBJECT, {"type": "string", "pattern": r"^(?<year>\d{4})[\b]$"}, OPEN):
        assert loosened(schema) == schema
        assert held_schema(schema, is_lenient=True) == held_schema(schema)
