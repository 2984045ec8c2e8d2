"""Answers under a schema: every one parses and validates, whatever the weights want to say."""

import json
from typing import Any

import jsonschema
import mlx.core as mx
import pytest
from schemas import keywords

from mlx_magistral import Magistral
from mlx_magistral.decode.rules.grammar import GrammarMask
from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.errors import MissingExtraError, UsageError
from mlx_magistral.events import FinishReason
from scripts.checks.fuzz_schemas import fuzz, judge, numbered_schema, random_model

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Magistral:
    """One small layer of random weights under nano's tokenizer: about a millisecond an id."""
    return random_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


@pytest.mark.parametrize(("name", "numbers"), [("tiny", range(60)), ("nano", range(30))])
def test_every_answer_validates(request: pytest.FixtureRequest, name: str, numbers: range) -> None:
    """scripts/checks/fuzz_schemas.py answers the hundreds that CI has no time for."""
    tally = fuzz(request.getfixturevalue(name), numbers)
    assert tally.wrong == []
    assert tally.valid == tally.count
    assert tally.thought == len(numbers[::4])


def test_generated_schemas_have_the_features_that_grammars_enforce() -> None:
    schemas = [numbered_schema(number) for number in range(60)]
    found = keywords(schemas)
    assert found >= {"properties", "required", "items", "prefixItems", "patternProperties"}
    assert found >= {"enum", "const", "anyOf", "$defs", "$ref", "format", "pattern", "multipleOf"}
    assert found >= {"minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength"}
    for schema in schemas:
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_wrong_answer_is_judged_wrong() -> None:
    schema = {"type": "string", "format": "date"}
    assert judge('"2024-02-29"', schema) is None
    for text in ('"2025-02-29"', "7", '"2024-02-29'):
        assert judge(text, schema) is not None


FORMATS = ["date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]


@pytest.mark.parametrize("name", FORMATS)
def test_formats_hold(tiny: Magistral, name: str) -> None:
    schema = {"type": "array", "items": {"format": name, "type": "string"}, "minItems": 30}
    schema["maxItems"] = 30
    reply = tiny.generate(
        "x", schema=schema, thinking="skip", raw_system=True, seed=1, temperature=1.0, top_p=1.0
    )
    assert reply.content is not None and judge(reply.content, schema) is None


def test_thinking_is_free_and_the_answer_obeys(tiny: Magistral) -> None:
    for seed in range(4):
        reply = tiny.generate(
            "x",
            schema=PERSON,
            thinking="force",
            think_budget=60,
            seed=seed,
            raw_system=True,
            temperature=1.0,
            max_tokens=700,
            on_loop="off",
        )
        assert reply.reasoning is not None and "{" not in reply.reasoning[:1]
        assert reply.finish_reason is FinishReason.STOP
        assert reply.content is not None
        jsonschema.validate(json.loads(reply.content), PERSON)


def test_thinking_can_still_begin_by_itself(tiny: Magistral) -> None:
    seen = {
        tiny.generate(
            "x", schema=PERSON, seed=seed, temperature=50.0, top_p=1.0, max_tokens=1
        ).usage.reasoning_tokens
        for seed in range(3)
    }
    assert seen == {0}
    stream = tiny.stream("x", schema=PERSON, max_tokens=3)
    mask = next(
        each for each in stream.progress.steering.processors if isinstance(each, GrammarMask)
    )
    allowed = mask(mx.zeros((1, tiny.config.vocab_size)))[0].tolist()
    think = tiny.tokenizer.control_id("[THINK]")
    assert allowed[think] == 0 and allowed[tiny.tokenizer.eos_id] == -float("inf")


def test_json_mode_is_any_object(tiny: Magistral) -> None:
    reply = tiny.generate(
        "x",
        json_mode=True,
        thinking="skip",
        raw_system=True,
        seed=0,
        temperature=1.0,
        max_tokens=2000,
        on_loop="off",
    )
    assert reply.content is not None and reply.content.lstrip().startswith("{")
    if reply.finish_reason is FinishReason.STOP:
        assert isinstance(json.loads(reply.content), dict)


def test_same_seed_same_answer(tiny: Magistral) -> None:
    options: dict[str, Any] = {"schema": PERSON, "seed": 5, "max_tokens": 300, "temperature": 1.0}
    first, again = (tiny.generate("x", **options) for _ in range(2))
    assert (first.content, first.reasoning) == (again.content, again.reasoning)


@pytest.mark.parametrize(
    ("schema", "feature"),
    [
        ({"not": {"type": "string"}}, "not"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "string", "format": "colour"}, "colour"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"if": {}, "then": {}}, "if"),
        ({"type": "thing"}, "thing"),
        ({"$ref": "http://example.org/x"}, "example.org"),
        ({"type": "string", "format": "regex"}, "regex"),
        ({"type": "object", "minProperties": 2}, "minProperties"),
        ({"properties": {"k1": {}}, "patternProperties": {"^k": {"type": "null"}}}, "'k1'"),
    ],
)
def test_unsupported_feature_is_refused_by_name(
    tiny: Magistral, schema: dict[str, Any], feature: str
) -> None:
    with pytest.raises(UsageError, match="The schema cannot be enforced") as caught:
        tiny.stream("x", schema=schema)
    assert feature in str(caught.value)
    assert "\n" not in str(caught.value)


def test_schema_and_json_mode_exclude_each_other(tiny: Magistral) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        tiny.stream("x", schema=PERSON, json_mode=True)


def test_too_few_ids_end_by_length(tiny: Magistral) -> None:
    reply = tiny.generate("x", schema=PERSON, thinking="skip", max_tokens=4)
    assert reply.finish_reason is FinishReason.LENGTH and reply.limit == "max_tokens"


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": PERSON}}


@pytest.mark.parametrize("choice", ["required", "second"])
def test_tool_choice_is_enforced(tiny: Magistral, choice: str) -> None:
    for seed in range(3):
        reply = tiny.generate(
            "x",
            tools=[tool("first"), tool("second")],
            tool_choice=choice,
            thinking="skip",
            seed=seed,
            temperature=1.0,
            max_tokens=900,
            on_loop="off",
        )
        assert reply.tool_calls and reply.content is None
        whole = reply.tool_calls[:-1] + (
            reply.tool_calls[-1:] if reply.finish_reason is FinishReason.TOOL_CALLS else []
        )
        for call in whole:
            assert call.name == "second" if choice == "second" else call.name in ("first", "second")
            jsonschema.validate(json.loads(call.arguments), PERSON)


def test_tool_choice_none_bans_calls(tiny: Magistral) -> None:
    stream = tiny.stream("x", tools=[tool("first")], tool_choice="none", max_tokens=3)
    logits = mx.zeros((1, tiny.config.vocab_size))
    for process in stream.progress.steering.processors:
        logits = process(logits)
    assert logits[0, tiny.tokenizer.control_id("[TOOL_CALLS]")].item() == -float("inf")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tool_choice": "required"}, "there are no tools"),
        ({"tool_choice": "other", "tools": [tool("first")]}, "none of the tools: first"),
        ({"tool_choice": "required", "tools": [tool("f")], "schema": PERSON}, "does not go with"),
    ],
)
def test_tool_choices_that_cannot_be(
    tiny: Magistral, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        tiny.stream("x", **options)


def draws(model: Magistral, script: list[int], **options: Any) -> list[list[float]]:
    """What the logits become before each id of a scripted reply, from zeros."""
    stream = model.stream("x", **options)
    seen = []
    for token in script:
        logits = mx.zeros((1, model.config.vocab_size))
        for process in stream.progress.steering.processors:
            logits = process(logits)
        seen.append(logits[0].tolist())
        stream.progress.steering.feed(token)
    return seen  # type: ignore[return-value]


def test_forced_text_can_be_spelled_in_any_ids(tiny: Magistral) -> None:
    tokenizer = tiny.tokenizer
    parameters = {"properties": {"expression": {"type": "string"}}, "required": ["expression"]}
    function = {"name": "calculator", "parameters": parameters}
    calls = [tokenizer.control_id("[TOOL_CALLS]"), *tokenizer.encode("calculator")]
    calls += [tokenizer.control_id("[ARGS]"), *tokenizer.encode('{"expression": "1+1"}')]
    for choice in ("auto", "required"):
        seen = draws(
            tiny,
            calls,
            tools=[{"type": "function", "function": function}],
            tool_choice=choice,
            thinking="skip",
        )
        for logits, token in zip(seen, calls, strict=True):
            assert logits[token] == 0
        # The whole word, and its first letter.
        name, letter = tokenizer.encode("calculator")[0], tokenizer.encode("c")[0]
        assert [at for at, logit in enumerate(seen[1]) if logit == 0][0:2] == [letter, name]


def test_auto_leaves_text_alone_and_holds_calls_to_the_tools(tiny: Magistral) -> None:
    tokenizer = tiny.tokenizer
    script = [*tokenizer.encode("hello"), tokenizer.control_id("[TOOL_CALLS]")]
    *text, _ = draws(tiny, script, tools=[tool("first")], thinking="skip")
    assert all(set(logits) == {0} for logits in text)
    script += [*tokenizer.encode("f"), tokenizer.eos_id]
    *_, name, rest = draws(tiny, script, tools=[tool("first")], thinking="skip")
    for logits in (name, rest):
        allowed = [tokenizer.id_to_bytes(at) for at, logit in enumerate(logits) if logit == 0]
        assert allowed and all(piece in b"first" for piece in allowed)


@pytest.mark.parametrize(("is_parallel", "count"), [(True, 2), (False, 1)])
def test_one_call_or_several(tiny: Magistral, is_parallel: bool, count: int) -> None:
    tokenizer = tiny.tokenizer
    call = [tokenizer.control_id("[TOOL_CALLS]"), *tokenizer.encode("first")]
    call += [tokenizer.control_id("[ARGS]"), *tokenizer.encode('{"name": "A", "age": 1}')]
    for choice in ("auto", "required", "first"):
        *_, last = draws(
            tiny,
            [*call, tokenizer.eos_id],
            tools=[tool("first")],
            tool_choice=choice,
            parallel_tool_calls=is_parallel,
            thinking="skip",
        )
        ends = {tokenizer.eos_id, tokenizer.control_id("[TOOL_CALLS]")}
        allowed = {at for at, logit in enumerate(last) if logit == 0}
        assert len(allowed & ends) == count and tokenizer.eos_id in allowed


def test_without_the_extra_auto_is_free_and_required_is_refused(
    tiny: Magistral, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MissingExtraError("Structured answers", "guidance")

    monkeypatch.setattr(tiny, "guidance", missing)
    assert tiny.generate("x", tools=[tool("first")], max_tokens=2, seed=1).usage.completion_tokens
    for choice in ("required", "first"):
        with pytest.raises(MissingExtraError, match=r"mlx-magistral\[guidance\]"):
            tiny.stream("x", tools=[tool("first")], tool_choice=choice)


LOOSE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "amount": {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^(?!-)\d+$"}]},
        "word": {"type": "string", "pattern": r"\bx\b"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "where": {"type": "string", "format": "colour"},
    },
    "required": ["amount"],
    "propertyNames": {"maxLength": 30},
}


@pytest.mark.parametrize("choice", ["auto", "required", "f"])
def test_what_of_a_tool_cannot_be_enforced_is_left_to_the_model_unless_it_is_strict(
    tiny: Magistral, choice: str
) -> None:
    function = {"name": "f", "parameters": LOOSE}
    tiny.stream("x", tools=[{"type": "function", "function": function}], tool_choice=choice)
    with pytest.raises(UsageError, match="The schema cannot be enforced"):
        tiny.stream("x", tools=[strict(function)], tool_choice=choice)


def test_what_of_a_schema_cannot_be_enforced_is_left_to_the_model_unless_it_is_strict(
    tiny: Magistral,
) -> None:
    stream = tiny.stream("x", schema=LOOSE, strict_schema=False)
    assert stream.progress.plan.check is not None
    with pytest.raises(UsageError, match="The schema cannot be enforced"):
        tiny.stream("x", schema=LOOSE)


@pytest.mark.parametrize(
    ("arguments", "invalid"),
    [
        ('{"amount": 3, "tags": ["a", "b"]}', None),
        ('{"amount": "-3"}', "amount: '-3' is not valid under any of the given schemas"),
        ('{"amount": 3, "tags": ["a", "a"]}', "tags: ['a', 'a'] has non-unique elements"),
        ('{"amount": 3, "word": "axb"}', "word: 'axb' does not match"),
    ],
)
def test_a_finished_call_is_checked(tiny: Magistral, arguments: str, invalid: str | None) -> None:
    function = {"name": "f", "parameters": LOOSE}
    tokenizer = tiny.tokenizer
    call = [tokenizer.control_id("[TOOL_CALLS]"), *tokenizer.encode("f")]
    call += [tokenizer.control_id("[ARGS]"), *tokenizer.encode(arguments), tokenizer.eos_id]
    events = spoken(tiny, call, tools=[{"type": "function", "function": function}])
    found = events[-1].invalid
    assert (
        found is None
        if invalid is None
        else f"The call of f breaks its parameters: {invalid}" in found
    )


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_finished_answer_is_checked_and_a_cut_one_is_not(tiny: Magistral, is_whole: bool) -> None:
    schema = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    tokenizer = tiny.tokenizer
    answer = tokenizer.encode('["a", "a"]') + [tokenizer.eos_id] * is_whole
    events = spoken(tiny, answer, schema=schema, strict_schema=False, thinking="skip")
    expected = "The answer breaks its schema: ['a', 'a'] has non-unique elements."
    assert events[-1].invalid == (expected if is_whole else None)
    reply = collected(events)
    assert reply.invalid == events[-1].invalid
    assert ("invalid" in reply.to_dict()) == is_whole


def spoken(model: Magistral, script: list[int], **options: Any) -> list[Any]:
    """The events of a scripted reply."""
    progress = model.stream("x", **options).progress
    events = []
    for token in script:
        progress.steering.feed(token)
        events += progress.take(token)
    return [*events, *progress.finish(FinishReason.LENGTH)]


def collected(events: list[Any]) -> Any:
    collector = ReplyCollector("tiny")
    for event in events:
        collector.feed(event)
    return collector.reply()


def strict(function: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {**function, "strict": True}}
