"""The loop guard on its labelled set: loops are found, and honest text is never cut.

The guard sees ids and nothing else, so texts are encoded and fed; there is no model.
"""

import json
import random
import time
from pathlib import Path

import mistral_common
import pytest
from loop_texts import HONEST, LOOPS, LoopText
from loop_texts.labelled import ARGUMENTS, CONTENT, REASONING, prose
from text.conftest import tekken

from mlx_magistral.decode.rules.answer_now import AnswerNow
from mlx_magistral.decode.rules.asked import Asked
from mlx_magistral.decode.rules.control import ControlOptions, make_rules
from mlx_magistral.decode.rules.cycles import CycleFinder
from mlx_magistral.decode.rules.loop_guard import TOKENS, LoopGuard, OnLoop
from mlx_magistral.decode.rules.steering import Act, Place, Verdict
from mlx_magistral.events import FinishReason, Limit
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.text.reasoning import ParserState
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Magistral's own vocabulary: the first 130,072 ranks of the file in mistral-common."""
    data = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    document = tekken(json.loads(data.read_bytes()), 131_072, 1000)
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / "tekken.json").write_text(json.dumps(document))
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def nano() -> Tokenizer:
    return load_tokenizer(nano_folder())


def first_alarm(
    tokenizer: Tokenizer, prompt: str, tokens: list[int], state: ParserState
) -> int | None:
    """How many ids it takes the guard to speak up."""
    guard = LoopGuard(OnLoop.CLOSE, prompt, tokenizer.id_to_bytes)
    guard.feed(0, Place(state))
    for count, token in enumerate(tokens, 1):
        if guard.feed(token, Place(state)) is not None:
            return count
    return None


@pytest.mark.parametrize("text", HONEST, ids=lambda text: f"{text.kind}, {text.name}")
def test_honest_text_is_never_cut(tokenizer: Tokenizer, text: LoopText) -> None:
    tokens = tokenizer.encode(text.text)
    found = first_alarm(tokenizer, text.prompt, tokens, text.state)
    assert found is None, tokenizer.decode(tokens[found - 120 : found])


@pytest.mark.parametrize("text", HONEST, ids=lambda text: f"{text.kind}, {text.name}")
def test_honest_text_is_never_cut_in_a_small_vocabulary(nano: Tokenizer, text: LoopText) -> None:
    """Its ids are shorter, so a text has three times as many of them."""
    assert first_alarm(nano, text.prompt, nano.encode(text.text), text.state) is None


@pytest.mark.parametrize("text", LOOPS, ids=lambda text: f"{text.kind}, {text.name}")
def test_loop_is_found(tokenizer: Tokenizer, text: LoopText) -> None:
    assert first_alarm(tokenizer, text.prompt, tokenizer.encode(text.text), text.state)


def test_a_forty_token_block(tokenizer: Tokenizer) -> None:
    """What takes eight repeats after the first while thinking takes a thousand ids in an answer."""
    rng = random.Random(0)
    block = tokenizer.encode(prose(rng, 39))
    noise = rng.sample(range(60_000, 90_000), 200)
    count = len(block)
    assert first_alarm(tokenizer, "", noise + block * 20, REASONING) == 200 + 9 * count
    assert first_alarm(tokenizer, "", noise + block * 8 + noise, REASONING) is None
    repeats = -(-TOKENS // count)
    for state in (CONTENT, ARGUMENTS):
        found = first_alarm(tokenizer, "", noise + block * 80, state)
        assert found == 200 + (repeats + 1) * count


def test_a_number_in_an_answer_is_never_counted_away(tokenizer: Tokenizer) -> None:
    text = "".join(
        f"Attempt {n}: let me go over this once more and check every step carefully before I "
        "give the final answer to the user, because I may be wrong.\n"
        for n in range(400)
    )
    tokens = tokenizer.encode(text)
    assert first_alarm(tokenizer, "", tokens, CONTENT) is None
    assert first_alarm(tokenizer, "", tokens, ARGUMENTS) is None
    assert first_alarm(tokenizer, "", tokens, REASONING) is not None


def test_a_number_that_counts_on_is_progress_below_thirty(tokenizer: Tokenizer) -> None:
    def cases(count: int) -> list[int]:
        line = "In case {} the two sides have the same remainder, so the claim holds there as well."
        return tokenizer.encode("\n".join(line.format(n) for n in range(1, count)))

    assert first_alarm(tokenizer, "", cases(31), REASONING) is None
    assert first_alarm(tokenizer, "", cases(45), REASONING) is not None
    assert first_alarm(tokenizer, "Go through 50 cases.", cases(51), REASONING) is None


@pytest.mark.parametrize("state", [REASONING, CONTENT, ARGUMENTS])
def test_what_the_prompt_counts_is_let_pass_and_no_more(
    tokenizer: Tokenizer, state: ParserState
) -> None:
    line = tokenizer.encode("And so the wheel turns round once more, as it has always done.\n")
    repeats = 150
    for prompt in (
        "Turn it 150 times.",
        "Turn it a hundred and fifty times.",
        "把轮子转一百五十次",
    ):
        assert first_alarm(tokenizer, prompt, line * repeats, state) is None
    found = first_alarm(tokenizer, "Turn it 150 times.", line * 1000, state)
    assert found is not None and found > repeats * len(line)
    assert first_alarm(tokenizer, "Turn it.", line * repeats, state) is not None


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        ("", 0),
        ("Write it 200 times", 200),
        ("1,000 rows and 12 columns", 1000),
        ("a 12x12 matrix", 144),
        ("40 by 20 tiles", 800),
        ("5× the same", 5),
        ("What is 37 + 48?", 0),
        ("What happened in 1969 and in 2024 there?", 0),
        ("fünfundzwanzig Zeilen", 60),
        ("une douzaine, puis trente lignes", 60),
        ("двести строк", 999),
        ("写50遍", 50),
        ("三十行", 100),
        ("An accent often costs percents.", 0),
    ],
)
def test_counts_of_a_prompt(prompt: str, count: int) -> None:
    assert Asked(prompt).count == count


def test_the_items_that_a_schema_wants_are_asked_for() -> None:
    items = {"type": "array", "minItems": 500, "items": {"const": "x"}}
    assert Asked("", schema={"type": "object", "properties": {"all": items}}).count == 500
    assert Asked("700 words", schema={"anyOf": [items, {"type": "null"}]}).count == 700


def test_a_block_of_the_prompt_has_longest(tokenizer: Tokenizer) -> None:
    phrase = tokenizer.encode(" over and over again")
    assert first_alarm(tokenizer, "", phrase * 200, CONTENT) is None
    assert first_alarm(tokenizer, "", phrase * 400, CONTENT) is not None
    asked = "Say it over, and over again."
    assert first_alarm(tokenizer, asked, phrase * 1000, CONTENT) is None
    assert first_alarm(tokenizer, asked, phrase * 1100, CONTENT) is not None


def test_a_file_in_a_tool_result_may_be_copied(tokenizer: Tokenizer) -> None:
    line = "0.0.0.0 blocked by the administrator of this network\n"
    messages: list[dict[str, object]] = [
        {"role": "user", "content": "Copy the file."},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "abcdefghi",
                    "type": "function",
                    "function": {"name": "read", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "abcdefghi", "content": line * 150},
    ]
    prompt = tokenizer.encode_chat(messages)
    rules = make_rules(
        ControlOptions(), tokenizer, prompt=prompt, max_tokens=10**6, answer_now=AnswerNow()
    )
    (guard,) = (rule for rule in rules if isinstance(rule, LoopGuard))
    guard.feed(0, Place(CONTENT))
    tokens = tokenizer.encode(line * 150)
    assert len(tokens) > 2 * TOKENS
    assert all(guard.feed(token, Place(CONTENT)) is None for token in tokens)


def test_what_was_asked_for_a_turn_before_still_counts(tokenizer: Tokenizer) -> None:
    messages = [
        {"role": "user", "content": "Give me 150 lines about the wheel."},
        {"role": "assistant", "content": "Here are some."},
        {"role": "user", "content": "Go on."},
    ]
    prompt = tokenizer.encode_chat(messages)
    rules = make_rules(
        ControlOptions(), tokenizer, prompt=prompt, max_tokens=10**6, answer_now=AnswerNow()
    )
    (guard,) = (rule for rule in rules if isinstance(rule, LoopGuard))
    guard.feed(0, Place(CONTENT))
    line = tokenizer.encode("And so the wheel turns round once more, as it has always done.\n")
    assert all(guard.feed(token, Place(CONTENT)) is None for token in line * 150)


@pytest.mark.parametrize(
    ("on_loop", "state", "expected"),
    [
        (OnLoop.CLOSE, REASONING, Verdict(Act.CLOSE_THINKING, Limit.LOOP)),
        (OnLoop.STOP, REASONING, Verdict(Act.END, Limit.LOOP, FinishReason.LOOP)),
        (OnLoop.CLOSE, CONTENT, Verdict(Act.END, Limit.LOOP, FinishReason.LOOP)),
    ],
)
def test_what_a_loop_leads_to(
    tokenizer: Tokenizer, on_loop: OnLoop, state: ParserState, expected: Verdict
) -> None:
    guard = LoopGuard(on_loop, "", tokenizer.id_to_bytes)
    verdicts = [guard.feed(token, Place(state)) for token in [*range(50_000, 50_040)] * 60]
    assert expected in verdicts


def longest_cycle(symbols: list[int], period: int) -> int:
    """The naive count: symbols at the end that equal those a period before."""
    count = 0
    while count + period < len(symbols) and symbols[-1 - count] == symbols[-1 - count - period]:
        count += 1
    return count


def test_finder_agrees_with_counting() -> None:
    rng = random.Random(2)
    for period in [*range(1, 40), 100, 333, 2000]:
        block = [rng.randrange(8) for _ in range(period)]
        finder = CycleFinder()
        cycle = None
        for symbol in [rng.randrange(8) for _ in range(50)] + block * (4 if period > 8 else 12):
            cycle = finder.feed(symbol)
        assert cycle is not None
        assert period % cycle.period == 0
        naive = longest_cycle(finder.symbols, cycle.period)
        assert min(naive, 3 * period) <= cycle.matched <= naive


def test_cost_does_not_grow_with_the_reply(tokenizer: Tokenizer) -> None:
    rng = random.Random(3)
    tokens = [rng.randrange(1000, 3000) for _ in range(40_000)]
    guard = LoopGuard(OnLoop.CLOSE, "", tokenizer.id_to_bytes)
    spans = []
    for start in range(0, 40_000, 10_000):
        begun = time.process_time()
        for token in tokens[start : start + 10_000]:
            guard.feed(token, Place(CONTENT))
        spans.append(time.process_time() - begun)
    assert min(spans[1:]) < 5 * spans[0]
    assert sum(spans) / 40_000 < 200e-6
