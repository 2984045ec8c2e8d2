"""What the target says is computed at once or place by place; steps are timed, and forgotten."""

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


@pytest.fixture
def trainer(tmp_path: Path) -> DrafterTrainer:
    """One step over three short texts, which are held out as well."""
    config = replace(SMALL, n_layers=4)
    model = Transformer(config)
    model.load_weights(list(random_weights(config).items()))
    shape, targets = head_config(config, 64), mx.arange(1, 65)
    head = fresh_head(shape, model, targets, mx.ones((2, 3 * config.dim)), 0)
    ids = mx.random.randint(0, 64, (3, 30), key=mx.random.key(2)).tolist()
    said = [Said(array("I", each), 5 + n) for n, each in enumerate(ids)]  # type: ignore[arg-type, union-attr]
    states = TargetStates(model, shape.aux_layers, chunk_tokens=256)
    options = DrafterOptions(steps=1, pack_tokens=64, eval_every=1)
    return DrafterTrainer(
        head, model, targets, states, said, said, options, tmp_path, {}, lambda *_: None
    )


def test_a_pack_without_room_for_all_logits_has_the_same_loss(
    trainer: DrafterTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for most in (10_000, 4):
        monkeypatch.setattr(module, "chunk_rows", lambda columns, most=most: most)
        trainer._validate()
    first, second = (record.loss for record in trainer.history.valid)
    assert first == pytest.approx(second, rel=1e-5)


def test_steps_that_are_only_timed_take_their_whole_time_and_teach_nothing(
    trainer: DrafterTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = []
    learn = trainer._learn
    monkeypatch.setattr(trainer, "_learn", lambda each: updates.append(trainer.step) or learn(each))
    before = trainer._state()
    mx.eval(before.parameters, before.optimizer)
    assert trainer.seconds_a_step(2) > 0
    after = trainer._state()
    assert updates == [0, 1, 2] and (after.step, len(after.history.steps)) == (0, 0)
    for kept, found in ((before.parameters, after.parameters), (before.optimizer, after.optimizer)):
        assert all(mx.array_equal(each, found[name]).item() for name, each in kept.items())
