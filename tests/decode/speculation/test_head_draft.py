"""A head drafts what it would if it were given the whole text at once, and changes no id."""

# mypy: allow-untyped-calls

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from decode.speculation.replay import Clocked, replay
from model.builders import SMALL, random_weights
from model.eagle.heads import write_head

from mlx_magistral.decode.driver import Driver
from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.decode.speculation.drafts import Drafts
from mlx_magistral.decode.speculation.head_draft import HeadDraft
from mlx_magistral.decode.speculation.pass_costs import PassCosts
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.eagle.reading import LoadedHead, load_head
from mlx_magistral.model.eagle.taps import AuxTap
from mlx_magistral.model.eagle.window import WindowCache
from mlx_magistral.model.transformer import Transformer

TARGET = replace(SMALL, n_layers=4)
PROMPT = [(7 * place * place + 3) % TARGET.vocab_size for place in range(150)]
GREEDY: dict[str, Any] = {"temperature": 0}


@pytest.fixture(scope="module")
def target() -> Transformer:
    model = Transformer(TARGET)
    model.load_weights(list(random_weights(TARGET).items()))
    return model


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> LoadedHead:
    folder = write_head(tmp_path_factory.mktemp("head"), TARGET)
    return load_head(folder, TARGET, dtype=mx.float32)


class Watched(HeadDraft):
    """Compares every greedy draft with one that is made from nothing but the text so far."""

    compared = 0

    def for_reply(self) -> "Watched":
        return Watched(self._head, self._target, prefixes=self._prefixes, window=self._window)

    def propose(self, tokens: Sequence[int], count: int, driver: Driver) -> mx.array:
        drafted = super().propose(tokens, count, driver)
        wanted = from_nothing(self._head, self._target, list(tokens), count, self._window)
        assert drafted.tolist() == wanted
        Watched.compared += 1
        return drafted


def from_nothing(
    head: LoadedHead, target: Transformer, tokens: list[int], count: int, window: int
) -> list[int]:
    """The chain by one pass of the target over all ids but the last, and one of the head."""
    tap = AuxTap(head.config.aux_layers)
    target.hidden(mx.array([tokens[:-1]]), None, tap)
    embed, cache = target.model.embed_tokens, WindowCache(window)
    network = head.network
    layer, features = network.layers[0], network.features(tap.take())
    output = layer.read(embed(mx.array([tokens[1:]])), features, cache)
    assert head.targets is not None
    chain: list[Any] = []
    while True:
        column = mx.argmax(network.lm_head(network.normalized(output)))
        chain.append(head.targets[column].item())
        if len(chain) == count:
            return chain
        output = layer.read(embed(mx.array([[chain[-1]]])), network.fed_back(output), cache)


def said(
    target: Transformer, draft: HeadDraft | None, length: int = 4, chunk: int = 64, **sampling: Any
) -> list[int]:
    cache = make_cache(target)
    drafts = None
    if draft is not None:
        drafts = Drafts(PROMPT, PassCosts("none", None), length=length, draft_model=draft)
        drafts.go_on(0)
    logits = prefill(target, PROMPT, cache, chunk_tokens=chunk, speculation=drafts)
    assert logits is not None
    ids = decode(
        target,
        logits,
        cache,
        Sampler(SamplingOptions(**sampling), PROMPT, TARGET.vocab_size),
        max_tokens=40,
        stop_tokens=frozenset(),
        speculation=drafts,
    )
    return list(ids)


@pytest.mark.parametrize("chunk", [1, 64, 512])
@pytest.mark.parametrize("window", [16, 4096])
def test_drafts_are_those_of_the_whole_text(
    chunk: int, window: int, target: Transformer, head: LoadedHead
) -> None:
    Watched.compared = 0
    plain = said(target, None, **GREEDY)
    assert said(target, Watched(head, target, window=window), chunk=chunk, **GREEDY) == plain
    assert Watched.compared > 5


@pytest.mark.parametrize(
    "sampling",
    [
        GREEDY,
        {"temperature": 0.7, "seed": 3},
        {"temperature": 1.2, "seed": 4, "repetition_penalty": 1.3, "top_p": 0.9},
    ],
    ids=str,
)
def test_ids_are_the_plain_ones(
    sampling: dict[str, Any], target: Transformer, head: LoadedHead
) -> None:
    assert said(target, HeadDraft(head, target), **sampling) == said(target, None, **sampling)


def test_a_head_that_is_not_asked_reads_on_and_holds_few_states(
    target: Transformer, head: LoadedHead
) -> None:
    tokens, cache = list(PROMPT), make_cache(target)
    draft = HeadDraft(head, target)
    tap = AuxTap(head.config.aux_layers)
    for place, token in enumerate(PROMPT):
        target.hidden(mx.array([[token]]), cache, tap)
        draft.saw(tap.take()[0], place, tokens)
    assert draft.cache.place >= len(PROMPT) - 70
    sampler = Sampler(SamplingOptions(temperature=0), PROMPT, TARGET.vocab_size)
    driver = Driver(
        mx.zeros((1, TARGET.vocab_size)), sampler, max_tokens=9, stop_tokens=frozenset()
    )
    drafted = draft.propose([*tokens, 5], 3, driver)
    assert drafted.tolist() == from_nothing(head, target, [*tokens, 5], 3, 4096)


@pytest.mark.parametrize("shared", [40, 100, 149])
def test_a_reply_goes_on_from_the_rows_of_a_prompt_that_was_kept(
    shared: int, target: Transformer, head: LoadedHead
) -> None:
    first = HeadDraft(head, target)
    tap = AuxTap(head.config.aux_layers)
    target.hidden(mx.array([PROMPT]), None, tap)
    states = tap.take()[0]
    first.saw(states, 0, PROMPT)
    first.keep(PROMPT)
    second, other = first.for_reply(), [*PROMPT[:shared], *[9, 8, 7] * 9]
    second.go_on(other, shared)
    assert second.cache.place == shared
    # The row of the last id that they share was made with the id after it, which they do not.
    assert second.cache.offset == shared - 1
    kept = first.cache.before(shared - 1)
    assert kept is not None
    assert all(
        mx.array_equal(ours, theirs)
        for ours, theirs in zip(second.cache.export(shared - 1), kept, strict=True)
    )


def test_of_another_text_nothing_is_kept(target: Transformer, head: LoadedHead) -> None:
    first = HeadDraft(head, target)
    first.saw(mx.zeros((150, 3 * TARGET.dim)), 0, PROMPT)
    first.keep(PROMPT)
    second = first.for_reply()
    second.go_on([99, *PROMPT], 60)
    assert (second.cache.offset, second.cache.place) == (0, 60)


def test_kept_prompts_are_few_and_the_longest_of_a_conversation(
    target: Transformer, head: LoadedHead
) -> None:
    from mlx_magistral.decode.speculation.head_prefixes import MOST_PREFIXES, HeadPrefixes

    prefixes = HeadPrefixes()
    for start in range(MOST_PREFIXES + 2):
        for end in (60, 100):
            text = PROMPT[start : start + end]
            draft = HeadDraft(head, target, prefixes=prefixes)
            draft.saw(mx.ones((end, 3 * TARGET.dim)), 0, text)
            draft.keep(text)
    found = []
    for start in range(MOST_PREFIXES + 2):
        draft = HeadDraft(head, target, prefixes=prefixes)
        draft.go_on([*PROMPT[start : start + 100], 1], 100)
        found.append(draft.cache.offset)
    assert found == [0, 0, *[99] * MOST_PREFIXES]


def test_the_model_is_not_tapped_where_nobody_asks(
    target: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tapped(self: AuxTap, x: mx.array) -> None:
        raise AssertionError

    monkeypatch.setattr(AuxTap, "__call__", tapped)
    assert len(said(target, None, **GREEDY)) == 40


def test_a_window_holds_no_more_than_its_rows_and_some(tmp_path: Path) -> None:
    cache = WindowCache(16)
    for _ in range(3000):
        cache.append(mx.zeros((1, 2, 1, 8)), mx.zeros((1, 2, 1, 8)))
    assert cache.place == 3000 and cache.offset <= 16 + 1025


class Right:
    """A draft model that knows the reply."""

    tap, guess_s = None, 0.0

    def __init__(self, text: list[int]) -> None:
        self._text = text

    def propose(self, tokens: list[int], count: int, driver: object) -> mx.array:
        return mx.array(self._text[len(tokens) :][:count])


def _passes(reply: list[int], **options: Any) -> int:
    told = replay(PROMPT, reply, Clocked(lambda rows: 1.0, range(1, 9)), **options)
    return len(told.rows)


@pytest.mark.parametrize("length", [4, None], ids=["fixed", "gated"])
def test_a_short_match_in_the_text_does_not_take_the_place_of_a_surer_head(
    length: int | None,
) -> None:
    # Runs of three come again and again, and go on otherwise each time.
    reply = [each for n in range(30) for each in (41, 42, 43, 100 + n, 200 + n, 300 + n)]
    draft: Any = Right([*PROMPT, *reply])
    passes = _passes(reply, length=length, draft_model=draft)
    assert passes <= len(reply) / (4 if length else 5)


def test_a_long_copy_takes_the_place_of_a_head_that_guesses_a_few() -> None:
    told = [*range(20, 60)] * 6
    wrong: Any = Right([*PROMPT, *([7] * len(told))])
    passes = _passes(told, length=8, draft_model=wrong)
    assert passes < len(told) / 3
