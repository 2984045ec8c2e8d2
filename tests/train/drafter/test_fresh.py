"""A head that has learned nothing does what the last layer of its target does."""

# mypy: allow-untyped-calls

from dataclasses import replace

import mlx.core as mx
import pytest
from model.builders import SMALL, random_weights

from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.eagle.window import WindowCache
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.train.drafter.fresh import fresh_head, head_config

CONFIG = replace(SMALL, n_layers=4)


@pytest.fixture
def target() -> Transformer:
    model = Transformer(CONFIG)
    model.load_weights(list(random_weights(CONFIG).items()))
    return model


def test_its_layer_computes_what_the_last_one_of_the_target_does(target: Transformer) -> None:
    states = mx.random.normal((7, 3 * CONFIG.dim), key=mx.random.key(1))
    head = fresh_head(head_config(CONFIG, 64), target, mx.arange(64), states, 0)
    latest = states[None, :, -CONFIG.dim :]
    silent = mx.zeros((1, 7, CONFIG.dim))
    found = head.layers[0].read(silent, latest, WindowCache(), outputs=7)
    wanted = target.layers[-1](latest, "causal", make_cache(target)[-1])
    assert mx.allclose(found, wanted, atol=1e-4, rtol=1e-3)


def test_its_feature_is_mostly_the_latest_of_the_states(target: Transformer) -> None:
    states = mx.random.normal((64, 3 * CONFIG.dim), key=mx.random.key(1))
    head = fresh_head(head_config(CONFIG, 64), target, mx.arange(64), states, 0)
    feature, latest = head.features(states), states[:, -CONFIG.dim :]
    assert mx.abs(feature - latest).mean() < 0.5 * mx.abs(latest).mean()


def test_an_mlp_of_another_width_is_drawn(target: Transformer) -> None:
    states = mx.ones((2, 3 * CONFIG.dim))
    shape = head_config(CONFIG, 64, CONFIG.hidden_dim + 64)
    head = fresh_head(shape, target, mx.arange(64), states, 0)
    own, last = head.layers[0], target.layers[-1]
    assert own.mlp.up_proj.weight.shape == (CONFIG.hidden_dim + 64, CONFIG.dim)
    assert mx.array_equal(own.self_attn.o_proj.weight, last.self_attn.o_proj.weight)
