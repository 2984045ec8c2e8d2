"""A continued prefix is the computed one bit for bit: keys, values, logits and the ids that follow.

The reference is the same prompt with nothing known of it.
"""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from model.builders import SMALL, random_weights

from mlx_magistral import Magistral
from mlx_magistral.memory.machine import Backend, Machine
from mlx_magistral.memory.plan import make_plan
from mlx_magistral.memory.prefixes.cache import PrefixCache
from mlx_magistral.memory.prefixes.disk import FOLDER_VARIABLE, PrefixDisk
from mlx_magistral.memory.prefixes.passes import PromptMarks
from mlx_magistral.memory.runtime import ModelMemory
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.selftest.prefixes import compute

HEAD, TURN, ANSWER, END = 120, 121, 122, 123
MARKS = PromptMarks(frozenset({HEAD}), TURN, frozenset({ANSWER}))
CHUNK = 16
REPLY = (7, 8, 9)


def turns(draw: random.Random) -> list[list[int]]:
    """The prompts of a conversation, each the one before and an answer and a question more."""
    prompt, prompts = [*draw.choices(range(100), k=draw.randrange(3, 40)), HEAD], []
    for _ in range(3):
        prompt = [*prompt, TURN, *draw.choices(range(100), k=draw.randrange(1, 60)), ANSWER]
        prompts.append(prompt)
        prompt = [*prompt, *draw.choices(range(100), k=draw.randrange(1, 30)), END]
    return prompts


@pytest.mark.parametrize("kv_bits", [16, 8])
@pytest.mark.parametrize("store", ["RAM", "disk"])
@pytest.mark.parametrize("seed", range(4))
def test_bits_of_a_continued_conversation(
    tmp_path: Path, kv_bits: int, store: str, seed: int
) -> None:
    draw = random.Random(seed)
    heads = draw.choice([1, 2])
    config = replace(
        SMALL,
        n_layers=draw.choice([1, 3]),
        head_dim=draw.choice([32, 64]),
        n_kv_heads=heads,
        n_heads=heads * draw.choice([1, 2, 4]),
        hidden_dim=draw.choice([96, 128]),
    )
    model = Transformer(config)
    # In float32 the CPU's products do depend on the rows of a pass; in bfloat16 they hardly do.
    dtype = (mx.float32, mx.bfloat16)[seed % 2]
    weights = random_weights(config).items()
    model.load_weights([(name, each.astype(dtype)) for name, each in weights], strict=True)
    machine = Machine("m", Backend.CPU, 10**9)
    plan = make_plan(config, 0, machine, 2048, kv_bits=kv_bits, chunk_tokens=CHUNK)

    def memory(has_prefixes: bool) -> ModelMemory:
        disk = PrefixDisk(tmp_path) if store == "disk" else None
        prefixes = PrefixCache("f", 0 if disk else 1 << 30, disk) if has_prefixes else None
        return ModelMemory(plan, prefixes, marks=MARKS)

    caching, known_before = memory(True), 0
    for prompt in turns(draw):
        for expected_known in (known_before, len(prompt) - 1):
            found = compute(caching, model, prompt, REPLY)
            assert found.is_same(compute(memory(False), model, prompt, REPLY))
            if store == "RAM":  # the disk leaves out what is soon computed again
                assert found.known == expected_known
        known_before = len(prompt) - 1
    others = [*turns(draw)[0][:2], *prompt[2:]]
    found = compute(caching, model, others, REPLY)
    assert found.is_same(compute(memory(False), model, others, REPLY))


@pytest.mark.parametrize("kv_bits", [16, 8])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_ids_of_the_second_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kv_bits: int, is_restarted: bool
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    options: dict[str, Any] = {"temperature": 1.0, "seed": 5, "max_tokens": 80, "logprobs": 3}

    def loaded() -> Magistral:
        return Magistral.load("nano", kv_bits=kv_bits, reuse_prefixes=True)

    caching, plain = loaded(), Magistral.load("nano", kv_bits=kv_bits)
    chat: list[Any] = [{"role": "user", "content": "What is 37 + 48? " + "Think well. " * 40}]
    first = caching.generate(chat, **options)
    chat += [
        {"role": "assistant", "content": first.content or "85"},
        {"role": "user", "content": "now add 5"},
    ]
    if is_restarted:
        caching = loaded()
    second, expected = (list(each.stream(chat, **options)) for each in (caching, plain))
    known = second[-1].usage.cached_tokens  # type: ignore[union-attr]
    assert known == first.usage.prompt_tokens - 1
    assert second[:-1] == expected[:-1]
