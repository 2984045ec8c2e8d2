"""mlx-lm's tools work on our model: its caches, generator, batcher and adapters."""

from pathlib import Path

import mlx.core as mx
import pytest
from model.builders import write_hf

from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import load_model

pytest.importorskip("mlx_lm", reason="mlx-lm is in the dev extra")

from mlx_lm.generate import BatchGenerator, generate_step  # noqa: E402
from mlx_lm.models.cache import BatchKVCache, make_prompt_cache  # noqa: E402
from mlx_lm.tuner.utils import linear_to_lora_layers  # noqa: E402

PROMPTS = [[5, 9, 2, 77, 31, 8, 1], [3, 4], [100, 2, 50, 6]]
NEW_TOKENS = 12


@pytest.fixture
def model(tmp_path: Path) -> Transformer:
    return load_model(write_hf(tmp_path)).model


def greedy(model: Transformer, prompt: list[int]) -> list[int]:
    cache = make_cache(model)
    logits = model(mx.array([prompt]), cache)
    tokens: list[int] = []
    for _ in range(NEW_TOKENS):
        tokens.append(int(mx.argmax(logits[0, -1]).item()))
        logits = model(mx.array([[tokens[-1]]]), cache)
    return tokens


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("step", [2, 2048])
def test_generate_step_gives_our_greedy_tokens(
    model: Transformer, prompt: list[int], step: int
) -> None:
    steps = generate_step(mx.array(prompt), model, max_tokens=NEW_TOKENS, prefill_step_size=step)
    assert [int(token) for token, _ in steps] == greedy(model, prompt)


def test_generate_step_takes_our_cache(model: Transformer) -> None:
    steps = generate_step(
        mx.array(PROMPTS[0]), model, max_tokens=NEW_TOKENS, prompt_cache=make_cache(model)
    )
    assert [int(token) for token, _ in steps] == greedy(model, PROMPTS[0])


def test_its_cache_equals_ours(model: Transformer) -> None:
    theirs, ours = make_prompt_cache(model), make_cache(model)
    for chunk in ([1, 2, 3], [4], [5, 6]):
        tokens = mx.array([chunk])
        assert mx.array_equal(model(tokens, theirs), model(tokens, ours))


def test_padded_batch_gives_each_prompt_its_own_logits(model: Transformer) -> None:
    longest = max(map(len, PROMPTS))
    padding = [longest - len(prompt) for prompt in PROMPTS]
    rows = [[0] * left + prompt for left, prompt in zip(padding, PROMPTS, strict=True)]
    cache = [BatchKVCache(padding) for _ in model.layers]
    together = model(mx.array(rows), cache)
    following = model(mx.array([[1], [2], [3]]), cache)
    for row, prompt in enumerate(PROMPTS):
        alone = model(mx.array([[*prompt, row + 1]]))[0]
        both = mx.concatenate([together[row, padding[row] :], following[row]])
        assert mx.abs(both - alone).max() <= 1e-5


def test_batch_generator_gives_our_greedy_tokens(model: Transformer) -> None:
    generator = BatchGenerator(model, max_tokens=NEW_TOKENS)
    uids = generator.insert(PROMPTS)
    replies: dict[int, list[int]] = {uid: [] for uid in uids}
    while responses := generator.next_generated():
        for response in responses:
            replies[response.uid].append(response.token)
    generator.close()
    assert [replies[uid] for uid in uids] == [greedy(model, prompt) for prompt in PROMPTS]


def test_adapters_are_placed_and_change_nothing_at_first(model: Transformer) -> None:
    tokens = mx.array([PROMPTS[0]])
    before = model(tokens)
    model.freeze()
    linear_to_lora_layers(model, 2, {"rank": 4, "scale": 10.0, "dropout": 0.0})
    assert model.trainable_parameters()["model"]["layers"]
    assert mx.array_equal(model(tokens), before)
