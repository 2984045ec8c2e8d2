"""The sampler against a naive one that works on a plain list of probabilities."""

import math
from collections import Counter
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.sample_utils import make_logits_processors

from mlx_magistral.decode import nucleus
from mlx_magistral.decode.sampling import Sampler, SamplingOptions, draw_together
from mlx_magistral.errors import UsageError

LOGITS = [2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0]
DRAWS = 3000


def naive_distribution(logits: list[float], options: SamplingOptions) -> list[float]:
    """Temperature, min-p against the top, top-k, top-p: keep until the mass is reached."""
    scaled = [math.exp(value / options.temperature) for value in logits]
    probabilities = [value / sum(scaled) for value in scaled]
    top = max(probabilities)
    kept = [p if p >= options.min_p * top else 0.0 for p in probabilities]
    ranked = sorted(range(len(kept)), key=lambda token: -kept[token])
    if options.top_k:
        ranked = ranked[: options.top_k]
    total = sum(kept[token] for token in ranked)
    result = [0.0] * len(kept)
    mass = 0.0
    for token in ranked:
        if mass >= options.top_p:
            break
        result[token] = kept[token] / total
        mass += kept[token] / total
    return [p / sum(result) for p in result]


def draws(options: SamplingOptions, count: int = DRAWS) -> list[int]:
    sampler = Sampler(options, [], len(LOGITS))
    logits = mx.array([LOGITS])
    return [int(sampler(logits).item()) for _ in range(count)]


@pytest.mark.parametrize(
    "keywords",
    [
        {"top_p": 1.0, "temperature": 1.0},
        {"top_p": 1.0, "temperature": 0.5},
        {"top_p": 0.8, "temperature": 1.0},
        {"top_p": 0.95},
        {"top_p": 0.01},
        {"top_p": 1.0, "top_k": 3},
        {"top_p": 0.9, "top_k": 4, "temperature": 1.3},
        {"top_p": 1.0, "min_p": 0.3, "temperature": 1.0},
        {"top_p": 0.9, "min_p": 0.1, "top_k": 5, "temperature": 2.0},
    ],
    ids=str,
)
def test_draws_follow_the_filtered_distribution(keywords: dict[str, Any]) -> None:
    options = SamplingOptions(seed=7, **keywords)
    expected = naive_distribution(LOGITS, options)
    counts = Counter(draws(options))
    assert set(counts) <= {token for token, p in enumerate(expected) if p > 0}
    chi_square = sum(
        (counts[token] - DRAWS * p) ** 2 / (DRAWS * p) for token, p in enumerate(expected) if p > 0
    )
    # 7 degrees of freedom at most: 24.3 is exceeded once in a thousand; the seed is fixed.
    assert chi_square < 24.3


def test_same_seed_same_ids_and_another_seed_others() -> None:
    first, again, other = (draws(SamplingOptions(seed=seed), 50) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_no_seed_is_a_fresh_one_each_time() -> None:
    assert draws(SamplingOptions(temperature=2.0), 50) != draws(
        SamplingOptions(temperature=2.0), 50
    )


def test_temperature_zero_takes_the_likeliest() -> None:
    assert set(draws(SamplingOptions(temperature=0), 5)) == {0}


def test_repetition_penalty_covers_prompt_and_drawn_ids() -> None:
    options = SamplingOptions(temperature=0, repetition_penalty=10.0)
    sampler = Sampler(options, [0], len(LOGITS))
    logits = mx.array([LOGITS])
    # 0 is in the prompt: 2.0 / 10 falls under 1.5, 1.0 and 0.5; each draw then removes itself.
    assert [int(sampler(logits).item()) for _ in range(4)] == [1, 2, 3, 0]


def test_repetition_penalty_pushes_negative_logits_down() -> None:
    sampler = Sampler(SamplingOptions(temperature=0, repetition_penalty=2.0), [0], 2)
    assert int(sampler(mx.array([[-1.0, -1.5]])).item()) == 1


@pytest.mark.parametrize("frequency", [0.0, 0.7, -1.5])
@pytest.mark.parametrize("presence", [0.0, 0.4, 2.0])
def test_added_penalties_and_biases_are_mlx_lms(frequency: float, presence: float) -> None:
    """Of the reply alone, as often as an id came, forced ids included; mlx-lm says how much."""
    bias = {2: 1.25, 5: -100.0}
    options = SamplingOptions(
        temperature=0,
        frequency_penalty=frequency,
        presence_penalty=presence,
        logit_bias=bias,
    )
    sampler = Sampler(options, [0, 1, 1], len(LOGITS))
    processors = make_logits_processors(
        logit_bias=bias,
        presence_penalty=presence,
        presence_context_size=100,
        frequency_penalty=frequency,
        frequency_context_size=100,
    )
    reply: list[int] = []
    for step in range(12):
        expected = mx.array([LOGITS])
        for process in processors:
            expected = process(mx.array(reply, dtype=mx.int32), expected)
        prepared = sampler.prepare(mx.array([LOGITS]))
        assert mx.allclose(prepared.logits, expected, atol=1e-5)
        if step % 4 == 3:
            sampler.write([3])
            reply.append(3)
        else:
            reply.append(int(draw_together([prepared])[0].item()))


def test_the_penalties_are_taken_in_vllms_order() -> None:
    options = SamplingOptions(
        temperature=0, repetition_penalty=2.0, presence_penalty=1.0, logit_bias={0: 4.0}
    )
    sampler = Sampler(options, [0], 2)
    sampler.write([0])
    logits = sampler.prepare(mx.array([[2.0, 1.0]])).logits
    assert logits.tolist() == [[(2.0 + 4.0) / 2 - 1.0, 1.0]]


def test_a_state_that_is_gone_back_to_forgets_what_came_after() -> None:
    sampler = Sampler(SamplingOptions(temperature=0, frequency_penalty=1.0), [], len(LOGITS))
    logits = mx.array([LOGITS])
    state = sampler.state
    first = [int(sampler(logits).item()) for _ in range(4)]
    sampler.state = state
    assert [int(sampler(logits).item()) for _ in range(4)] == first


def test_bf16_logits_are_accepted() -> None:
    sampler = Sampler(SamplingOptions(seed=0), [], len(LOGITS))
    assert 0 <= int(sampler(mx.array([LOGITS], dtype=mx.bfloat16)).item()) < len(LOGITS)


@pytest.mark.parametrize(
    "keywords",
    [
        {"temperature": -0.1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"min_p": 1.0},
        {"repetition_penalty": 0.0},
        {"frequency_penalty": 2.1},
        {"presence_penalty": -2.1},
        {"logit_bias": {3: 101.0}},
        {"logit_bias": {3: float("nan")}},
        {"logit_bias": {"3": 1.0}},
        {"seed": -1},
        {"temperature": float("nan")},
    ],
    ids=str,
)
def test_values_out_of_range_are_named(keywords: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(keywords))):
        SamplingOptions(**keywords)


def test_a_nucleus_is_the_same_without_sorting_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = mx.random.normal((1, 400), key=mx.random.key(2)) * 3

    def drawn() -> set[int]:
        sampler = Sampler(SamplingOptions(temperature=1, top_p=0.9, seed=5), [], 400)
        return {int(sampler(logits).item()) for _ in range(600)}

    probabilities = sorted(mx.softmax(logits[0]).tolist(), reverse=True)  # type: ignore[arg-type]
    size = next(n for n in range(400) if sum(probabilities[:n]) >= 0.9)
    likeliest = set(mx.argsort(-logits[0])[:size].tolist())  # type: ignore[arg-type]
    assert size < 100
    for widest in (400, 128):
        monkeypatch.setattr(nucleus, "_WIDEST_NUCLEUS", widest)
        assert drawn() <= likeliest
        assert len(drawn()) > size // 2


def test_draws_made_together_are_those_made_alone() -> None:
    """Whoever is beside: other temperatures, filters, seeds; penalties remember their own ids."""
    vocab, rounds = 400, 30
    every: list[dict[str, Any]] = [
        {"temperature": 0},
        {"temperature": 0, "repetition_penalty": 1.3},
        {"seed": 1},
        {"seed": 2, "temperature": 1.4, "top_p": 0.7},
        {"seed": 3, "temperature": 1.1, "repetition_penalty": 2.0},
        {"seed": 9, "temperature": 1.1, "frequency_penalty": 1.0, "logit_bias": {3: 2.0}},
        {"seed": 4, "top_k": 5},
        {"seed": 5, "top_k": 5, "top_p": 1.0, "temperature": 3.0},
        {"seed": 6, "min_p": 0.2, "temperature": 2.0},
        {"seed": 7, "top_p": 1.0, "temperature": 1.5},
        {"seed": 8, "top_p": 1.0, "min_p": 0.05},
    ]
    logits = mx.random.normal((rounds, vocab), key=mx.random.key(0)) * 2

    def samplers() -> list[Sampler]:
        return [Sampler(SamplingOptions(**each), [7], vocab) for each in every]

    alone = [
        [int(sampler(logits[row : row + 1]).item()) for row in range(rounds)]
        for sampler in samplers()
    ]
    beside = samplers()
    together = [
        [
            int(token.item())
            for token in draw_together([one.prepare(logits[row : row + 1]) for one in beside])
        ]
        for row in range(rounds)
    ]
    assert [list(ids) for ids in zip(*together, strict=True)] == alone


def test_a_draw_taken_back_is_the_same_again() -> None:
    one, other = (Sampler(SamplingOptions(seed=seed), [], 8) for seed in (1, 2))
    logits = mx.array([LOGITS])
    before = one.state
    first = [int(token.item()) for token in draw_together([one.prepare(logits)])]
    one.state = before
    again = draw_together([one.prepare(logits), other.prepare(logits)])
    assert int(again[0].item()) == first[0]
