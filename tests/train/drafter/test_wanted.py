"""What the target says at the places of a pack is computed once, or place by place: it is alike."""

# mypy: allow-untyped-calls

from array import array
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest
from model.builders import SMALL, random_weights

from mlx_magistral.model.transformer import Transformer
from mlx_magistral.train.drafter import trainer as module
from mlx_magistral.train.drafter.fresh import fresh_head, head_config
from mlx_magistral.train.drafter.options import DrafterOptions
from mlx_magistral.train.drafter.said import Said
from mlx_magistral.train.drafter.states import TargetStates
from mlx_magistral.train.drafter.trainer import DrafterTrainer


def test_a_pack_without_room_for_all_logits_has_the_same_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SMALL, n_layers=4)
    model = Transformer(config)
    model.load_weights(list(random_weights(config).items()))
    shape, targets = head_config(config, 64), mx.arange(1, 65)
    head = fresh_head(shape, model, targets, mx.ones((2, 3 * config.dim)), 0)
    ids = mx.random.randint(0, 64, (3, 30), key=mx.random.key(2)).tolist()
    valid = [Said(array("I", each), 5 + n) for n, each in enumerate(ids)]  # type: ignore[arg-type, union-attr]
    states = TargetStates(model, shape.aux_layers, chunk_tokens=256)
    losses = []
    for most in (10_000, 4):
        monkeypatch.setattr(module, "chunk_rows", lambda columns, most=most: most)
        options = DrafterOptions(steps=1, pack_tokens=64, eval_every=1)
        trainer = DrafterTrainer(
            head, model, targets, states, valid, valid, options, tmp_path, {}, lambda *_: None
        )
        trainer._validate()
        losses.append(trainer.history.valid[0].loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
