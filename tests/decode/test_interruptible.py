"""A prompt's pass is given up between two layers, and leaves the caches as they were."""

from typing import Any

import mlx.core as mx
import pytest
from model.builders import write_hf

from mlx_magistral import load_model
from mlx_magistral.batching.forward import Segment, run_pass
from mlx_magistral.decode import interruptible
from mlx_magistral.decode.generate import prefill
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.transformer import Transformer

PROMPT = list(range(5, 45))


@pytest.fixture(autouse=True)
def few_rows_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptible, "WHOLE_ROWS", 0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    return load_model(write_hf(tmp_path_factory.mktemp("model")))[0]


class AfterAsked:
    """Loses interest when it was asked so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def logits_after(model: Transformer, cache: list[Any], prompt: list[int], **options: Any) -> Any:
    logits = prefill(model, prompt, cache, chunk_tokens=16, **options)
    return None if logits is None else logits.tolist()


@pytest.mark.parametrize("kv_bits", [16, 8])
def test_given_up_after_any_layer_nothing_is_left_of_the_pass(
    model: Transformer, kv_bits: int
) -> None:
    expected = logits_after(model, list(make_cache(model, kv_bits)), PROMPT)
    asked_a_pass = len(model.layers) + 1
    for times in range(3 * asked_a_pass):
        cache = list(make_cache(model, kv_bits))
        assert logits_after(model, cache, PROMPT, is_cancelled=AfterAsked(times)) is None
        done = times // asked_a_pass * 16
        assert {layer.offset for layer in cache} == {done}
        assert logits_after(model, cache, PROMPT[done:]) == expected
    cache = list(make_cache(model, kv_bits))
    patient = AfterAsked(3 * asked_a_pass)
    assert logits_after(model, cache, PROMPT, is_cancelled=patient) == expected


def test_given_up_by_all_whose_prompts_share_the_pass(model: Transformer) -> None:
    caches = [list(make_cache(model)) for _ in range(2)]
    segments = [Segment(mx.array(PROMPT), cache, 1) for cache in caches]
    assert run_pass(model, segments, AfterAsked(2)) == []
    assert {layer.offset for cache in caches for layer in cache} == {0}
    expected = [each.tolist() for each in run_pass(model, segments)]
    again = [segment._replace(cache=list(make_cache(model))) for segment in segments]
    watched = run_pass(model, again, lambda: False)
    assert [each.tolist() for each in watched] == expected


def test_few_rows_are_not_waited_for(model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptible, "WHOLE_ROWS", 16)
    asked = AfterAsked(100)
    assert logits_after(model, list(make_cache(model)), PROMPT, is_cancelled=asked) is not None
    assert asked.left == 100 - 3  # once a pass
