"""Drafted passes give the ids of plain ones: greedy, drawn, penalized, and under rules that act."""

from collections import Counter
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import pytest
from decode.scripted import EOS, VOCAB, FakeTokenizer, steering
from model.builders import SMALL, write_hf

from mlx_magistral import load_model
from mlx_magistral.decode.driver import Driver
from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.rules.budget import ThinkBudget
from mlx_magistral.decode.rules.logits_processors import Ban, LogitsProcessor
from mlx_magistral.decode.rules.steering import Place, Rule, ThinkTokens, Verdict
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.decode.speculation.drafts import Drafts, SpeculateOption
from mlx_magistral.decode.speculation.pass_costs import PassCosts
from mlx_magistral.errors import UsageError
from mlx_magistral.events import Limit
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.text.reasoning import ParserState

PROMPT = [0, 41, 42, 43, 41, 42, 43, 41, 42]
TOKENS = ThinkTokens(34, 35, (41, 49))


class Chain:
    """Logits after each id depend on it and its place, so a wrong cache would show at once."""

    def __init__(self, sharpness: float = 4.0) -> None:
        self.table = mx.random.normal((VOCAB, VOCAB), key=mx.random.key(5)) * sharpness
        self.rows: list[int] = []
        self.offset = 0

    def trim(self, count: int) -> None:
        self.offset -= count

    @property
    def state(self) -> mx.array:
        return self.table

    def hidden(self, tokens: mx.array, cache: list[Any]) -> mx.array:
        length = tokens.shape[1]
        self.rows.append(length)
        places = mx.arange(self.offset, self.offset + length)
        self.offset += length
        # A period of 7 places: text repeats, and a row at the wrong place is another text.
        return mx.roll(self.table[tokens], 1, axis=-1) + 0.5 * self.table[places % 7]

    def logits(self, hidden: mx.array) -> mx.array:
        return hidden

    def __call__(self, tokens: mx.array, cache: list[Any]) -> mx.array:
        return self.hidden(tokens, cache)


class Guesses:
    """Drafts the ids of a known reply, every third of them wrong."""

    passes = 0
    tap = None

    def saw(self, states: mx.array, place: int) -> None:
        raise AssertionError

    def __init__(self, reply: list[int]) -> None:
        self.reply = reply
        self.fed = 0
        self.kept = 0

    def feed(self, token: int, state: ParserState) -> None:
        self.fed += 1

    def is_armed(self, driver: Driver) -> bool:
        return driver.left > 2

    def propose(self, driver: Driver) -> mx.array | None:
        count = min(5, driver.left - 1)
        if count < 1 or self.fed % 11 == 0:
            return None
        ids = [*self.reply, *[1] * count][self.fed : self.fed + count]
        at = range(self.fed, self.fed + count)
        return mx.array([7 if i % 3 == 2 else token for i, token in zip(at, ids, strict=True)])

    def accepted(self, drafted: int, accepted: int) -> None:
        self.kept += accepted


class Flipping:
    """Bans other ids after each id."""

    def __init__(self, must_see_id: bool) -> None:
        self.must_see_id = must_see_id
        self.processors: tuple[LogitsProcessor, ...] = ()
        self.fed: list[int] = []

    def feed(self, token: int, place: Place) -> Verdict | None:
        self.fed.append(token)
        self.processors = (Ban((token * 7) % VOCAB),) if len(self.fed) % 2 else ()
        return None


def run(rules: list[Rule] | None, speculation: Any, **sampling: Any) -> tuple[list[int], Chain]:
    model = Chain()
    as_model = cast(Transformer, model)
    logits = prefill(as_model, PROMPT, [model])
    assert logits is not None
    sampler = Sampler(SamplingOptions(**sampling), PROMPT, VOCAB)
    ids = decode(
        as_model,
        logits,
        [model],
        sampler,
        max_tokens=60,
        stop_tokens=frozenset({EOS}),
        steering=None if rules is None else steering(rules),
        speculation=speculation,
    )
    return list(ids), model


SAMPLING: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": 0, "repetition_penalty": 1.5},
    {"temperature": 0.7, "seed": 3},
    {"temperature": 1.2, "seed": 4, "repetition_penalty": 1.3, "top_p": 0.9},
]


@pytest.mark.parametrize("sampling", SAMPLING, ids=str)
@pytest.mark.parametrize("rules", ["none", "flips", "waits", "budget"])
def test_drafted_ids_are_the_plain_ones(sampling: dict[str, Any], rules: str) -> None:
    def make() -> list[Rule] | None:
        return {
            "none": None,
            "flips": [Flipping(False)],
            "waits": [Flipping(True)],
            "budget": [
                ThinkBudget(4, Limit.THINK_BUDGET, TOKENS, FakeTokenizer().id_to_bytes),
                Flipping(False),
            ],
        }[rules]  # type: ignore[return-value]

    plain, _ = run(make(), None, **sampling)
    guesses = Guesses(plain)
    drafted, model = run(make(), guesses, **sampling)
    assert drafted == plain
    assert max(model.rows[1:]) > 1
    if len(plain) > 10:
        assert guesses.kept > 5


@pytest.mark.parametrize("sampling", SAMPLING, ids=str)
def test_look_up_gives_the_plain_ids_in_fewer_passes(sampling: dict[str, Any]) -> None:
    plain, model = run(None, None, **sampling)
    drafts = Drafts(PROMPT, PassCosts("none", None), length=5)
    assert run(None, drafts, **sampling)[0] == plain
    assert drafts.passes <= len(plain)


def test_cache_holds_no_rejected_row_when_the_caller_stops() -> None:
    plain, _ = run(None, None, temperature=0)
    for stop in range(1, 12):
        model = Chain()
        as_model = cast(Transformer, model)
        logits = prefill(as_model, PROMPT, [model])
        assert logits is not None
        sampler = Sampler(SamplingOptions(temperature=0), PROMPT, VOCAB)
        ids = decode(
            as_model,
            logits,
            [model],
            sampler,
            max_tokens=60,
            stop_tokens=frozenset(),
            speculation=Guesses(plain),
        )
        got = [token for _, token in zip(range(stop), ids, strict=False)]
        ids.close()  # type: ignore[attr-defined]
        assert got == plain[:stop]
        # Never more than what is known to be right: the ids given and the one drawn after them.
        assert model.offset <= len(PROMPT) + stop + 1


def test_drawn_distribution_is_the_targets() -> None:
    """Chi-square over seeds: the second id after a first that was drafted, right or wrong."""
    counts: list[Counter[int]] = []
    for speculation in (None, "drafted"):
        drawn: Counter[int] = Counter()
        for seed in range(1500):
            model = Chain(sharpness=1.0)
            model.table = model.table[:, :].at[:, 6:].add(-50.0)
            as_model = cast(Transformer, model)
            sampler = Sampler(
                SamplingOptions(temperature=1, top_p=1, seed=seed + 5000 * (not speculation)),
                [],
                VOCAB,
            )
            logits = model(mx.array([[3]]), [model])[:, -1]
            guesses = Guesses([1, 2, 3, 4, 5, 0]) if speculation else None
            *_, last = decode(
                as_model,
                logits,
                [model],
                sampler,
                max_tokens=4,
                stop_tokens=frozenset(),
                speculation=guesses,
            )
            drawn[last] += 1
        counts.append(drawn)
    plain, drafted = counts
    ids = [token for token in plain if plain[token] + drafted[token] >= 10]
    chi_square = sum((plain[i] - drafted[i]) ** 2 / (plain[i] + drafted[i]) for i in ids)
    assert len(ids) >= 4
    # 6 ids at most, 5 degrees of freedom: 20.5 is exceeded once in a thousand; seeds are fixed.
    assert chi_square < 20.5


@pytest.mark.parametrize("kv_bits", [16, 8])
def test_a_real_models_cache_is_trimmed(tmp_path: Path, kv_bits: int) -> None:
    model, _ = load_model(write_hf(tmp_path / "model"))
    prompt = [5, 9, 11, 5, 9, 11, 5, 9]

    def ids(speculation: Any) -> list[int]:
        cache = make_cache(model, kv_bits)
        logits = prefill(model, prompt, cache)
        assert logits is not None
        sampler = Sampler(SamplingOptions(temperature=0), prompt, SMALL.vocab_size)
        return list(
            decode(
                model,
                logits,
                cache,
                sampler,
                max_tokens=40,
                stop_tokens=frozenset(),
                speculation=speculation,
            )
        )

    plain = ids(None)
    guesses = Guesses(plain)
    assert ids(guesses) == plain
    assert guesses.kept > 10


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("auto", SpeculateOption()),
        ("off", SpeculateOption(is_off=True)),
        (0, SpeculateOption(is_off=True)),
        ("4", SpeculateOption(length=4)),
    ],
)
def test_option(value: str | int, expected: SpeculateOption) -> None:
    assert SpeculateOption.parse(value) == expected


@pytest.mark.parametrize("value", ["fast", "-1", "48", 1.5])
def test_option_out_of_range_is_named(value: Any) -> None:
    with pytest.raises(UsageError, match="speculate must be auto, off, or 1 to 47"):
        SpeculateOption.parse(value)
