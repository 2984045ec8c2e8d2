"""Sequences of unequal length in one pass are each as they would be alone."""

import mlx.core as mx
import pytest
from model.builders import CONFIGS, random_weights

from mlx_magistral.batching.forward import Segment, run_pass
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer


def build(config: ModelConfig) -> Transformer:
    model = Transformer(config)
    model.load_weights(list(random_weights(config).items()), strict=True)
    return model


@pytest.mark.parametrize("name", ["grouped", "one key head", "tied"])
@pytest.mark.parametrize("kv_bits", [16, 8])
def test_as_alone(name: str, kv_bits: int) -> None:
    config = CONFIGS[name]
    model = build(config)
    prompts = [[5], list(range(30)), list(range(7, 20))]
    together = [make_cache(model, kv_bits) for _ in prompts]
    # 1. The middle prompt in two pieces, the others whole; then one id of each, then three of one.
    first = [
        Segment(mx.array(prompt[:15]), own, 1)
        for prompt, own in zip(prompts, together, strict=True)
    ]
    run_pass(model, first)
    rest = [(1, prompts[1][15:]), (0, [9]), (2, [11])]
    run_pass(model, [Segment(mx.array(ids), together[index], 0) for index, ids in rest])
    last = [(0, [3, 4, 5]), (1, [6]), (2, [7])]
    logits = run_pass(
        model, [Segment(mx.array(ids), together[index], len(ids)) for index, ids in last]
    )
    # 2. Each by itself.
    whole = [[5, 9, 3, 4, 5], [*range(30), 6], [*range(7, 20), 11, 7]]
    for (index, ids), got in zip(last, logits, strict=True):
        alone = make_cache(model, kv_bits)
        before = len(whole[index]) - len(ids)
        model(mx.array([whole[index][:before]]), alone)
        expected = model(mx.array([ids]), alone)[0]
        tolerance = 1e-5 if kv_bits == 16 else 2e-2
        assert mx.abs(got - expected).max().item() <= tolerance
        assert together[index][0].offset == len(whole[index])
