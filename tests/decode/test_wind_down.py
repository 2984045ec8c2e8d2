"""Answers that would not end: with scripted logits, whole when max_tokens comes and not before."""

import json
from typing import Any

import jsonschema
import mlx.core as mx
import pytest
from decode.scripted import Scripted, reply

from mlx_magistral.decode.rules.control import ControlOptions, think_tokens
from mlx_magistral.decode.rules.ending import JsonPlace, shortest_ending
from mlx_magistral.decode.rules.grammar import answer_grammar
from mlx_magistral.decode.rules.guidance import Guidance, make_matcher
from mlx_magistral.decode.rules.steering import Steering
from mlx_magistral.decode.rules.structure import structure_rules
from mlx_magistral.decode.rules.wind_down import WindDown
from mlx_magistral.events import FinishReason, Limit
from mlx_magistral.text.reasoning import ReasoningParser
from mlx_magistral.text.tokenizer import Tokenizer

Schema = dict[str, Any]


def named(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


TEXT: Schema = {"type": "string"}
NODE = named(next={"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]})
UUID = {"type": "string", "format": "uuid"}


class Answer:
    """The ids that a model with these favourite bytes says, best first, and what ended it."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        guidance: Guidance,
        favourites: bytes,
        max_tokens: int,
        *,
        tools: list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        control = ControlOptions(**options)
        rules = structure_rules(
            control, tokenizer, tools or [], "skip", lambda: guidance, max_tokens
        )
        steering = Steering(ReasoningParser(tokenizer), think_tokens(control, tokenizer), rules)
        ids = mx.array([tokenizer.control_count + byte for byte in favourites])
        logits = mx.zeros((tokenizer.vocab_size,))
        logits[ids] = mx.arange(len(favourites), 0, -1) + 1.0
        self.ids = reply(Scripted(lambda seen: logits), steering, max_tokens)
        self.ended, self.limit = steering.ended, steering.limit
        ends = self.ids[-1] == tokenizer.eos_id
        self.is_whole = ends
        self.text = b"".join(
            tokenizer.id_to_bytes(token) for token in (self.ids[:-1] if ends else self.ids)
        ).decode()


ENDLESS: list[tuple[Schema, bytes]] = [
    (TEXT, b"a"),
    (TEXT, b"\\"),
    (TEXT, b"\\u0"),
    (TEXT, "é".encode()),
    (named(text=TEXT, sum={"type": "integer"}, is_ok={"type": "boolean"}), b"a7"),
    (named(text=TEXT, id=UUID), b"xa7"),
    ({"type": "number"}, b"7."),
    (named(share={"type": "number", "exclusiveMinimum": 0, "maximum": 1}, text=TEXT), b"0."),
    ({"type": "string", "pattern": "^(a*b|c)$"}, b"a"),
    ({"type": "string", "pattern": "^(ab)*x{3}$"}, b"a"),
    ({"type": "array", "items": {"enum": [1, "b"]}, "minItems": 2}, b",1"),
    ({"type": "array", "items": named(id=UUID, tags={"type": "array"})}, b",{a"),
    ({"$defs": {"node": NODE}, "$ref": "#/$defs/node"}, b"{"),
    ({"type": "object", "additionalProperties": UUID}, b",a"),
    ({"type": "object"}, b'{"a:'),
    ({"type": "object"}, b'{"a:[1'),
]


@pytest.mark.parametrize(("schema", "favourites"), ENDLESS)
@pytest.mark.parametrize("max_tokens", [120, 300])
def test_an_endless_answer_is_whole_and_valid(
    tokenizer: Tokenizer, guidance: Guidance, schema: Schema, favourites: bytes, max_tokens: int
) -> None:
    answer = Answer(tokenizer, guidance, favourites, max_tokens, schema=schema)
    assert answer.is_whole
    jsonschema.validate(json.loads(answer.text), schema)
    assert (answer.ended, answer.limit) == (FinishReason.LENGTH, Limit.MAX_TOKENS)
    # Not ended before it had to be: of the quarter at the end most is there for what is required.
    assert len(answer.ids) >= max_tokens - max_tokens // 4 - 40


def test_what_is_still_required_is_the_models_own(tokenizer: Tokenizer, guidance: Guidance) -> None:
    schema = named(text=TEXT, sum={"type": "integer"}, unit={"enum": ["kg", "m"]})
    answer = Answer(tokenizer, guidance, b"a8m", 200, schema=schema)
    found = json.loads(answer.text)
    assert len(found["text"]) > 100
    assert str(found["sum"]).startswith("888") and found["unit"] == "m"


@pytest.mark.parametrize(("schema", "favourites"), [(named(a=TEXT), b'"}'), (TEXT, b'"')])
def test_an_answer_that_ends_by_itself_is_left_alone(
    tokenizer: Tokenizer,
    guidance: Guidance,
    monkeypatch: pytest.MonkeyPatch,
    schema: Schema,
    favourites: bytes,
) -> None:
    wound = Answer(tokenizer, guidance, favourites, 60, schema=schema)
    monkeypatch.setattr(WindDown, "next", lambda self: ())
    assert Answer(tokenizer, guidance, favourites, 60, schema=schema).ids == wound.ids
    assert wound.is_whole and wound.ended is None and wound.limit is None


@pytest.mark.parametrize("max_tokens", [1, 2, 5])
def test_what_cannot_be_whole_is_cut(
    tokenizer: Tokenizer, guidance: Guidance, max_tokens: int
) -> None:
    answer = Answer(tokenizer, guidance, b"a", max_tokens, schema=named(text=TEXT))
    assert not answer.is_whole and len(answer.ids) == max_tokens and answer.ended is None


@pytest.mark.parametrize("choice", ["required", "search"])
def test_arguments_of_a_call_wind_down_too(
    tokenizer: Tokenizer, guidance: Guidance, choice: str
) -> None:
    function = {"name": "search", "parameters": named(query=TEXT, count={"type": "integer"})}
    answer = Answer(
        tokenizer,
        guidance,
        b"a7",
        150,
        tools=[{"type": "function", "function": function}],
        tool_choice=choice,
    )
    assert answer.is_whole and answer.ended is FinishReason.LENGTH
    jsonschema.validate(json.loads(answer.text.removeprefix("search")), function["parameters"])
    assert answer.ids.count(tokenizer.control_id("[TOOL_CALLS]")) == 1


def test_endings_are_short(tokenizer: Tokenizer, guidance: Guidance) -> None:
    for schema, begun, expected in [
        (named(a=TEXT, b={"type": "null"}), '{"a": "so', '","b":null}'),
        ({"type": "object"}, '{"a": [{"b": [1', "]}]}"),
        ({"type": "string", "pattern": "^(a*b|c)$"}, '"aa', 'b"'),
        ({"anyOf": [UUID, {"type": "null"}]}, "", "null"),
        ({"type": "array", "items": UUID}, "[", "]"),
    ]:
        matcher = make_matcher(answer_grammar(tokenizer, schema=schema), guidance.bytewise)
        place, first = JsonPlace(), tokenizer.control_count
        for byte in begun.encode():
            assert matcher.consume_token(first + byte)
            place = place.after(byte)
        ids = shortest_ending(matcher, place, first, tokenizer.eos_id)
        assert ids is not None and bytes(token - first for token in ids).decode() == expected


def test_places_in_json() -> None:
    place = JsonPlace()
    seen = []
    for byte in rb'{"a\"b": [-1.5e3, true]}':
        place = place.after(byte)
        seen.append("s" if place.in_string else "n" if place.in_number else str(place.depth))
    assert "".join(seen) == "1" + "sssss" + "111" + "2" + "nnnnnn" + "22" + "2222" + "10"
