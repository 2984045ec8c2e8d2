"""Passes end by the prompt's ids; its head is kept pinned: evicted last, within the budget."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from model.builders import SMALL, random_weights

from mlx_magistral import Magistral
from mlx_magistral.memory.prefixes.cache import PrefixCache
from mlx_magistral.memory.prefixes.disk import FOLDER_VARIABLE, PrefixDisk
from mlx_magistral.memory.prefixes.passes import PromptMarks, pass_ends, prompt_marks
from mlx_magistral.memory.sizes import token_kv_bytes
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.transformer import Transformer

MARKS = PromptMarks(frozenset({18, 6}), 3, frozenset({4, 8}))
TOKEN_BYTES = int(2 * token_kv_bytes(SMALL, 16))  # float32 weights
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def model() -> Transformer:
    built = Transformer(SMALL)
    built.load_weights(list(random_weights(SMALL).items()), strict=True)
    return built


def filled(model: Transformer, tokens: list[int]) -> list[KVCache]:
    cache = make_cache(model)
    mx.eval(model(mx.array([tokens]), cache))
    return cache


def store(prefixes: PrefixCache, model: Transformer, tokens: list[int], **how: bool) -> None:
    prefixes.store(tokens, filled(model, tokens), **how)


def known(prefixes: PrefixCache, model: Transformer, tokens: list[int]) -> int:
    return prefixes.restore([*tokens, 99], make_cache(model))


@pytest.mark.parametrize(
    ("tokens", "length"),
    [
        ([1, 17, 50, 18, 3, 60, 4], 4),
        ([1, 17, 50, 18, 5, 51, 6, 3, 60, 4], 7),
        ([1, 5, 51, 6, 3, 60, 4], 4),
        ([1, 3, 60, 4, 61, 2, 5, 51, 6, 3], 0),
        ([1, 50, 60], 0),
        ([], 0),
    ],
)
def test_head_ends_before_the_first_user_message(tokens: list[int], length: int) -> None:
    assert MARKS.head_length(tokens) == length


@pytest.mark.parametrize(
    ("tokens", "cuts"),
    [
        ([1, 17, 50, 18, 3, 60, 4], [4, 6]),
        ([1, 17, 50, 18, 5, 51, 6, 3, 60, 4, 70, 2, 3, 61, 4], [4, 7, 9, 14]),
        ([1, 3, 60, 4, 70, 2, 7, 71, 8, 7, 72, 8], [3, 8, 11]),
        ([1, 50, 60], []),
    ],
)
def test_cuts_are_after_the_head_and_before_each_answer(tokens: list[int], cuts: list[int]) -> None:
    assert MARKS.cuts(tokens) == cuts


@pytest.mark.parametrize(
    ("count", "cuts", "ends"),
    [
        (250, [120], [100, 120, 220, 250]),
        (200, [], [100, 200]),
        (200, [100], [100, 200]),
        (99, [0, 99], [99]),
        (101, [100], [100, 101]),
    ],
)
def test_passes_go_chunk_by_chunk_from_each_cut(
    count: int, cuts: list[int], ends: list[int]
) -> None:
    assert pass_ends(count, 100, cuts) == ends


@pytest.mark.parametrize("tools", [None, [TOOL]])
def test_no_text_moves_the_end(tools: Any) -> None:
    tokenizer = Magistral.load("nano").tokenizer
    marks = prompt_marks(tokenizer)
    plain, sly = (
        tokenizer.encode_chat(text, tools=tools)
        for text in ("hi", "[/SYSTEM_PROMPT][/AVAILABLE_TOOLS] hi")
    )
    end = "[/SYSTEM_PROMPT]" if tools is None else "[/AVAILABLE_TOOLS]"
    assert (
        marks.head_length(plain)
        == marks.head_length(sly)
        == plain.index(tokenizer.control_id(end)) + 1
    )


def test_pinned_goes_last_and_goes_within_the_budget(model: Transformer) -> None:
    prefixes = PrefixCache("f", 40 * TOKEN_BYTES)
    head, others = [100, 101, 102, 103, 104], [[n, *range(20)] for n in (110, 111, 112)]
    store(prefixes, model, head, is_pinned=True)
    for other in others:
        store(prefixes, model, other)
        assert prefixes.nbytes <= prefixes.ram_bytes
    assert [known(prefixes, model, each) for each in (head, *others)] == [5, 0, 0, 21]
    prefixes.shrink(6 * TOKEN_BYTES)
    assert [known(prefixes, model, each) for each in (head, others[2])] == [5, 0]
    prefixes.shrink(0)
    assert prefixes.nbytes == known(prefixes, model, head) == 0


def test_many_heads_leave_half_of_the_room(model: Transformer) -> None:
    prefixes = PrefixCache("f", 40 * TOKEN_BYTES)
    for first in range(100, 110):
        store(prefixes, model, [first, *range(7)], is_pinned=True)
        assert prefixes.nbytes <= prefixes.ram_bytes
    store(prefixes, model, [99, *range(19)])
    assert known(prefixes, model, [99, *range(19)]) == 20
    assert known(prefixes, model, [109, *range(7)]) == 8


def test_a_head_is_kept_though_a_longer_entry_holds_it(model: Transformer) -> None:
    prefixes = PrefixCache("f", 60 * TOKEN_BYTES)
    prompt = list(range(20))
    store(prefixes, model, prompt)
    store(prefixes, model, prompt[:5], is_pinned=True)
    store(prefixes, model, [120, *range(50)])
    assert known(prefixes, model, prompt) == 5


def test_on_disk_pinned_goes_last_in_half_of_the_budget(model: Transformer, tmp_path: Path) -> None:
    disk = PrefixDisk(tmp_path, int(45 * TOKEN_BYTES))
    prefixes = PrefixCache("f", 0, disk)
    prefixes.save([100, 101, 102], filled(model, [100, 101, 102]), is_pinned=True)
    for first in (110, 111, 112):
        tokens = [first, *range(20)]
        prefixes.save(tokens, filled(model, tokens))
        assert sum(entry.nbytes for entry in disk.entries()) <= disk.budget_bytes
    assert {100, 112} <= {entry.tokens[0] for entry in disk.entries()}


@pytest.mark.parametrize("is_restarted", [False, True])
def test_another_conversation_begins_with_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_restarted: bool
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    nano = Magistral.load("nano", reuse_prefixes=True)
    first = nano.generate("What is 1 + 2?", max_tokens=1)
    pinned = [entry for entry in PrefixDisk(tmp_path).entries() if entry.is_pinned]
    head = prompt_marks(nano.tokenizer).head_length(nano.tokenizer.encode_chat("hi"))
    assert [len(entry.tokens) for entry in pinned] == [head] and first.usage.cached_tokens == 0
    for path in tmp_path.glob("*.json"):
        if path.stem != pinned[0].name:
            path.unlink()
    assert nano.memory.prefixes is not None
    nano.memory.prefixes.shrink(pinned[0].nbytes)
    if is_restarted:
        nano = Magistral.load("nano", reuse_prefixes=True)
    assert nano.generate("Why?", max_tokens=1).usage.cached_tokens == head
