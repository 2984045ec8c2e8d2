"""Ids in, events out: every transition, any split, and a naive parser beside the streaming one."""

import random
import time
from itertools import groupby
from typing import NamedTuple

import pytest

from mlx_magistral.events import ContentDelta, Event, ReasoningDelta, ToolCallDelta
from mlx_magistral.text.reasoning import ParserState, ReasoningParser
from mlx_magistral.text.tokenizer import Tokenizer

EOS, CALL, PAD, ARGS, THINK, END = 2, 9, 11, 32, 34, 35


class Said(NamedTuple):
    """What a reply comes to; reasoning and content are None where there is none."""

    reasoning: str | None
    content: str | None
    calls: list[tuple[str, str]]


def ids(tokenizer: Tokenizer, *parts: str | int | bytes) -> list[int]:
    """Text encoded as text, numbers as they are, bytes one id each."""
    tokens: list[int] = []
    for part in parts:
        if isinstance(part, str):
            tokens += tokenizer.encode(part)
        elif isinstance(part, bytes):
            tokens += [64 + byte for byte in part]
        else:
            tokens.append(part)
    return tokens


def parse(parser: ReasoningParser, tokens: list[int]) -> list[Event]:
    events: list[Event] = []
    for token in tokens:
        events += parser.feed(token)
    return events + parser.flush()


def joined(events: list[Event]) -> Said:
    """The events of one reply put together, and what every stream of events promises."""
    reasoning, content = "", ""
    calls: list[tuple[str, str]] = []
    for event in events:
        match event:
            case ReasoningDelta(text=text):
                assert text
                reasoning += text
            case ContentDelta(text=text):
                assert text
                content += text
            case ToolCallDelta(index=index, id=id, name=str(name), arguments=arguments):
                assert index == len(calls) and id is not None
                calls.append((name, arguments))
            case ToolCallDelta(index=index, id=id, arguments=arguments):
                assert index == len(calls) - 1 and id is None and arguments
                calls[-1] = (calls[-1][0], calls[-1][1] + arguments)
    return Said(reasoning or None, content or None, calls)


def said(tokenizer: Tokenizer, *parts: str | int | bytes, in_reasoning: bool = False) -> Said:
    parser = ReasoningParser(tokenizer, in_reasoning=in_reasoning)
    return joined(parse(parser, ids(tokenizer, *parts)))


def naive(tokenizer: Tokenizer, tokens: list[int], in_reasoning: bool) -> Said:
    """The same from all ids at once: cut at the markers, decode each piece whole."""

    def text(piece: list[int]) -> str:
        runs = groupby(piece, key=tokenizer.is_control)
        return "".join(tokenizer.decode(list(run)) for is_control, run in runs if not is_control)

    spoken, *called = cut(tokens, {CALL})
    texts = {True: "", False: ""}
    is_thinking = in_reasoning
    for piece in cut(spoken, {THINK, END}, keep=True):
        if piece and piece[0] in (THINK, END):
            is_thinking = piece[0] == THINK
        texts[is_thinking] += text(piece)
    calls = []
    for piece in called:
        head, *tail = cut(piece, {ARGS}, limit=1)
        name, brace, rest = text(head).partition("{")
        arguments = brace + rest + "".join(text(each) for each in tail)
        if tail or brace or name.strip():
            calls.append((name.strip(), arguments if arguments.strip() else arguments + "{}"))
    return Said(texts[True] or None, texts[False] or None, calls)


def cut(
    tokens: list[int], at: set[int], *, keep: bool = False, limit: int = 10**9
) -> list[list[int]]:
    pieces: list[list[int]] = [[]]
    for token in tokens:
        if token in at and len(pieces) <= limit:
            pieces.append([token] if keep else [])
        else:
            pieces[-1].append(token)
    return pieces


@pytest.mark.parametrize(
    ("parts", "reasoning", "content"),
    [
        ((THINK, "7+8=15", END, "85", EOS), "7+8=15", "85"),
        # White space is the model's own, as in vLLM's parser.
        (("\n", THINK, " a\n", END, "\n\n b ", EOS), " a\n", "\n\n\n b "),
        # No block, an unclosed one, an empty one.
        (("85", EOS), None, "85"),
        ((EOS,), None, None),
        ((), None, None),
        ((THINK, "7+8"), "7+8", None),
        ((THINK, "7+8", EOS), "7+8", None),
        ((THINK, END, "85"), None, "85"),
        ((THINK,), None, None),
        # Repeated and stray markers.
        ((THINK, "a", THINK, "b", END, "c"), "ab", "c"),
        ((THINK, "a", END, "b", THINK, "c", END, "d"), "ac", "bd"),
        (("a", END, "b"), None, "ab"),
        ((END, END, "b"), None, "b"),
        ((THINK, "a", END, END, "b", END), "a", "b"),
        # Markers that are text, not ids.
        ((THINK, "a [/THINK] b", END, "c [THINK] d </s>"), "a [/THINK] b", "c [THINK] d </s>"),
        (("[TOOL_CALLS]f[ARGS]{}",), None, "[TOOL_CALLS]f[ARGS]{}"),
        # Other control ids say nothing.
        ((1, "a", PAD, "b", ARGS, "c", 3, 63), None, "abc"),
        # Characters split across ids, and halves of them.
        ((THINK, "é".encode(), END, "👍".encode()), "é", "👍"),
        ((THINK, b"\xe2\x82", END, b"\xac", EOS), "\ufffd", "\ufffd"),
        ((THINK, b"a\xc3"), "a\ufffd", None),
        ((b"\xc3", PAD, b"\xa9"), None, "\ufffd\ufffd"),
    ],
)
def test_think_blocks(
    tokenizer: Tokenizer,
    parts: tuple[str | int | bytes, ...],
    reasoning: str | None,
    content: str | None,
) -> None:
    assert said(tokenizer, *parts) == Said(reasoning, content, [])


def test_a_forced_think_block_is_already_open(tokenizer: Tokenizer) -> None:
    assert said(tokenizer, "a", END, "b", EOS, in_reasoning=True) == Said("a", "b", [])
    assert said(tokenizer, THINK, "a", END, "b", in_reasoning=True) == Said("a", "b", [])
    assert said(tokenizer, "a", in_reasoning=True) == Said("a", None, [])


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        ((CALL, "calc", ARGS, '{"x": "37+48"}', EOS), [("calc", '{"x": "37+48"}')]),
        ((CALL, "calc", '{"x": 1}', EOS), [("calc", '{"x": 1}')]),
        ((CALL, "calc {", b'"x": 1}', EOS), [("calc", '{"x": 1}')]),
        ((CALL, " calc\n", ARGS, "{}"), [("calc", "{}")]),
        ((CALL, "a", ARGS, "{}", CALL, "b", ARGS, "{}"), [("a", "{}"), ("b", "{}")]),
        # No arguments, or white space for them.
        ((CALL, "now", ARGS, EOS), [("now", "{}")]),
        ((CALL, "now", EOS), [("now", "{}")]),
        ((CALL, "a", CALL, "b"), [("a", "{}"), ("b", "{}")]),
        ((CALL, "now", ARGS, " "), [("now", " {}")]),
        # Nothing to call.
        ((CALL, EOS), []),
        ((CALL, " ", CALL, "b"), [("b", "{}")]),
        ((CALL, ARGS, '{"x": 1}'), [("", '{"x": 1}')]),
        # Broken JSON is the caller's to see.
        ((CALL, "calc", ARGS, '{"x": ', EOS), [("calc", '{"x": ')]),
        # Other control ids inside a call are absorbed; a second [ARGS] is one of them.
        ((CALL, "ca", THINK, "lc", END, ARGS, '{"x"', THINK, ":1}"), [("calc", '{"x":1}')]),
        ((CALL, "calc", ARGS, "{", ARGS, END, PAD, "}"), [("calc", "{}")]),
        ((CALL, "calc", ARGS, '"é'.encode(), b"\xe2", EOS), [("calc", '"é\ufffd')]),
        ((CALL, b"c\xc3", ARGS, "{}"), [("c\ufffd", "{}")]),
    ],
)
def test_tool_calls(
    tokenizer: Tokenizer, parts: tuple[str | int | bytes, ...], calls: list[tuple[str, str]]
) -> None:
    assert said(tokenizer, *parts) == Said(None, None, calls)
    thinking = said(tokenizer, THINK, "a", END, "b", *parts)
    assert thinking == Said("a", "b", calls)


def test_a_tool_call_ends_open_reasoning(tokenizer: Tokenizer) -> None:
    parser = ReasoningParser(tokenizer)
    tokens = ids(tokenizer, THINK, "a sum", CALL, "calc", ARGS, "{}", END, EOS)
    assert joined(parse(parser, tokens)) == Said("a sum", None, [("calc", "{}")])
    assert parser.state is ParserState.TOOL_ARGUMENTS


def test_the_name_comes_once_and_whole(tokenizer: Tokenizer) -> None:
    events = parse(
        ReasoningParser(tokenizer), ids(tokenizer, CALL, b"get_weather", ARGS, b'{"a":1}')
    )
    first, *rest = events
    assert isinstance(first, ToolCallDelta)
    assert (first.name, first.arguments) == ("get_weather", "")
    assert rest == [ToolCallDelta(0, None, None, character) for character in '{"a":1}']


def test_tool_ids_suit_mistral_and_come_from_the_callers_source(tokenizer: Tokenizer) -> None:
    tokens = ids(tokenizer, CALL, "f", ARGS, "{}") * 50

    def made(seed: int) -> list[str]:
        parser = ReasoningParser(tokenizer, id_source=random.Random(seed))
        events = parse(parser, tokens)
        return [event.id for event in events if isinstance(event, ToolCallDelta) and event.id]

    assert made(1) == made(1) != made(2)
    assert len(set(made(1))) == 50
    assert all(len(id) == 9 and id.isascii() and id.isalnum() for id in made(1))


def test_state_says_where_the_next_id_falls(tokenizer: Tokenizer) -> None:
    parser = ReasoningParser(tokenizer)
    states = [parser.state]
    for token in ids(tokenizer, "a", THINK, "a", END, "a", CALL, "a", ARGS, "{", CALL, "{"):
        parser.feed(token)
        states.append(parser.state)
    names = "CONTENT CONTENT REASONING REASONING CONTENT CONTENT TOOL_NAME TOOL_NAME"
    names += " TOOL_ARGUMENTS TOOL_ARGUMENTS TOOL_NAME TOOL_ARGUMENTS"
    assert [state.name for state in states] == names.split()
    assert ReasoningParser(tokenizer, in_reasoning=True).state is ParserState.REASONING
    with pytest.raises(AttributeError):
        parser.state = ParserState.CONTENT  # type: ignore[misc]


def test_reasoning_tokens_are_the_ids_of_its_text(tokenizer: Tokenizer) -> None:
    parser = ReasoningParser(tokenizer)
    thought = ids(tokenizer, "7+8", "€".encode(), b"\xe2")
    counts = []
    for token in [THINK, *thought, PAD, THINK, END, *ids(tokenizer, "abc"), THINK, thought[0], EOS]:
        parser.feed(token)
        counts.append(parser.reasoning_tokens)
    size = len(thought)
    assert counts[: size + 1] == list(range(size + 1))
    assert counts[-1] == size + 1


def test_the_system_prompts_own_block_never_counts(tokenizer: Tokenizer) -> None:
    prompt = tokenizer.encode_chat("What is 37 + 48?")
    assert THINK in prompt and END in prompt
    parser = ReasoningParser(tokenizer)
    assert joined(parse(parser, ids(tokenizer, "85", EOS))) == Said(None, "85", [])
    assert parser.reasoning_tokens == 0


def random_reply(generator: random.Random, tokenizer: Tokenizer) -> list[int]:
    """Any ids at all, with many markers, braces and halves of characters."""
    tokens: list[int] = []
    for _ in range(generator.randrange(30)):
        match generator.randrange(5):
            case 0:
                tokens.append(generator.choice([THINK, END, THINK, END, CALL, ARGS, EOS, PAD]))
            case 1:
                tokens += ids(tokenizer, generator.randbytes(generator.randrange(3)))
            case 2:
                tokens += ids(
                    tokenizer, generator.choice(["é", "👍"]).encode()[: generator.randrange(5)]
                )
            case 3:
                tokens += ids(
                    tokenizer, generator.choice(["{", " {", "}", " ", "calc", '{"a": 1}'])
                )
            case _:
                tokens.append(generator.randrange(tokenizer.vocab_size))
    return tokens


def test_streamed_is_whole_for_any_ids(tokenizer: Tokenizer) -> None:
    generator = random.Random(34)
    for _ in range(2000):
        tokens = random_reply(generator, tokenizer)
        in_reasoning = generator.random() < 0.3
        parser = ReasoningParser(tokenizer, in_reasoning=in_reasoning)
        events = parse(parser, tokens)
        assert joined(events) == naive(tokenizer, tokens, in_reasoning)
        counted = sum(event.tokens for event in events if isinstance(event, ReasoningDelta))
        assert counted == parser.reasoning_tokens
        assert parser.flush() == []


def test_the_split_into_ids_does_not_matter(tokenizer: Tokenizer) -> None:
    generator = random.Random(35)
    texts = ["7 + 8 = 15 → é 👍\n", "calc", '{"x": "37+48"}', " [/THINK] ", "ab {", "世界"]
    for _ in range(500):
        parts = [
            generator.choice([THINK, END, CALL, ARGS]) if generator.random() < 0.4 else text
            for text in generator.choices(texts, k=12)
        ]
        as_bytes = [part.encode() if isinstance(part, str) else part for part in parts]
        assert said(tokenizer, *parts) == said(tokenizer, *as_bytes)


@pytest.mark.parametrize("start", [(), (THINK,), (CALL,), (CALL, ARGS)])
def test_feeding_costs_the_same_however_long_the_reply(
    tokenizer: Tokenizer, start: tuple[int, ...]
) -> None:
    parser = ReasoningParser(tokenizer)
    for token in start:
        parser.feed(token)
    tokens = ids(tokenizer, "word " * 500)
    seconds = []
    for _ in range(100):
        started = time.perf_counter()
        for token in tokens:
            parser.feed(token)
        seconds.append(time.perf_counter() - started)
    # The best of many rounds: a busy machine slows some of them, a growing cost slows all.
    assert min(seconds[-20:]) < 3 * min(seconds[:20])
