"""What the target says, computed at once or by place; steps that are timed; which head is kept."""

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
from mlx_magistral.train.drafter.loss import DraftLoss
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


def test_the_head_of_the_lowest_loss_is_kept_whatever_few_guesses_say(
    trainer: DrafterTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(trainer, "_on_best", lambda head, history: kept.append(trainer.step))
    told = iter([(3.0, 9), (2.5, 4), (2.7, 9), (2.4, 5)])

    def loss(windows: object, *, learns: bool) -> tuple[DraftLoss, None]:
        each, hits = next(told)
        nothing = [mx.array(0)] * 3
        return DraftLoss(mx.array(each), {}, [mx.array(hits), *nothing], [10] * 4), None

    monkeypatch.setattr(trainer, "_loss", loss)
    monkeypatch.setattr(trainer, "_valid", trainer._valid[:1])
    for step in range(1, 5):
        trainer.step = step
        trainer._validate()
    assert kept == [1, 2, 4]
    assert [record.ids_a_pass for record in trainer.history.valid] == [1.9, 1.4, 1.9, 1.5]
