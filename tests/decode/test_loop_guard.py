"""The loop guard on a labelled set, in the full vocabulary: found within 4 repeats, no false alarm.

The guard sees ids and nothing else, so texts are encoded and fed; there is no model.
"""

import json
import random
import time
from pathlib import Path

import mistral_common
import pytest
from loop_texts import legitimate, loops
from text.conftest import tekken

from mlx_magistral.decode.rules.cycles import CycleFinder
from mlx_magistral.decode.rules.loop_guard import LoopGuard, OnLoop
from mlx_magistral.decode.rules.steering import Act, Place, Verdict
from mlx_magistral.events import FinishReason, Limit
from mlx_magistral.text.reasoning import ParserState
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer

REASONING, CONTENT = ParserState.REASONING, ParserState.CONTENT


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Magistral's own vocabulary: the first 130,072 ranks of the file in mistral-common."""
    data = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    document = tekken(json.loads(data.read_bytes()), 131_072, 1000)
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / "tekken.json").write_text(json.dumps(document))
    return load_tokenizer(folder)


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


@pytest.mark.parametrize("state", [REASONING, CONTENT])
@pytest.mark.parametrize("name", loops())
def test_true_loop_is_found_within_four_repeats(
    tokenizer: Tokenizer, name: str, state: ParserState
) -> None:
    start, block = loops()[name]
    four = start + "".join(block(n) for n in range(4))
    # The first token of the fifth repeat may be what completes the fourth.
    tokens = tokenizer.encode(four + block(4)[:12])
    found = first_alarm(tokenizer, "What is 37 + 48?", tokens, state)
    assert found is not None
    assert found > len(tokenizer.encode(start + block(0) + block(1)))


@pytest.mark.parametrize("state", [REASONING, CONTENT])
@pytest.mark.parametrize("name", legitimate())
def test_legitimate_text_raises_no_alarm(
    tokenizer: Tokenizer, name: str, state: ParserState
) -> None:
    prompt, text = legitimate()[name]
    tokens = tokenizer.encode(text)
    found = first_alarm(tokenizer, prompt, tokens, state)
    assert found is None, tokenizer.decode(tokens[found - 120 : found])


def test_a_thirty_token_block_four_times(tokenizer: Tokenizer) -> None:
    rng = random.Random(0)
    block = rng.sample(range(40_000, 60_000), 30)
    noise = rng.sample(range(60_000, 90_000), 200)
    assert first_alarm(tokenizer, "", noise + block * 4, REASONING) == 200 + 120
    assert first_alarm(tokenizer, "", noise + block * 3 + noise, REASONING) is None


def test_short_phrase_has_grace_that_ends(tokenizer: Tokenizer) -> None:
    phrase = tokenizer.encode(" over and over again")
    assert first_alarm(tokenizer, "", phrase * 10, REASONING) is None
    assert first_alarm(tokenizer, "", phrase * 30, REASONING) is not None
    assert first_alarm(tokenizer, "", phrase * 30, CONTENT) is None
    assert first_alarm(tokenizer, "", phrase * 100, CONTENT) is not None
    assert first_alarm(tokenizer, "Say it over and over again.", phrase * 100, CONTENT) is None


def test_few_lines_in_no_fixed_order(tokenizer: Tokenizer) -> None:
    rng = random.Random(1)
    lines = [
        "No wait, that cannot be right, let me start from the beginning once more.\n",
        "Hmm, but then the second condition would not hold for the smaller one.\n",
        "So the answer must be 12, unless I made a mistake in the first step.\n",
    ]
    text = "".join(rng.choice(lines) for _ in range(60))
    assert first_alarm(tokenizer, "", tokenizer.encode(text), REASONING) is not None


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
    verdicts = [guard.feed(token, Place(state)) for token in [*range(50_000, 50_040)] * 5]
    assert expected in verdicts


def longest_cycle(symbols: list[int], period: int) -> int:
    """The naive count: symbols at the end that equal those a period before."""
    count = 0
    while count + period < len(symbols) and symbols[-1 - count] == symbols[-1 - count - period]:
        count += 1
    return count


def test_finder_agrees_with_counting() -> None:
    rng = random.Random(2)
    for period in [*range(1, 40), 100, 333, 600]:
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
