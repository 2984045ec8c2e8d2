"""The loop: the same curve from the same seed, whole resume, early stop, and what ends it early."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from training_models import adapter_bytes, dataset, trained_model

from mlx_magistral.errors import TrainingError, UsageError
from mlx_magistral.train import trainer as trainer_module
from mlx_magistral.train.adapter_folder import Base
from mlx_magistral.train.files import write_whole
from mlx_magistral.train.history import History, StepRecord
from mlx_magistral.train.options import Method, TrainOptions
from mlx_magistral.train.trainer import Trainer
from mlx_magistral.train.watcher import Watcher

BASE = Base("base", "f" * 64, 2)
OPTIONS = {
    "rank": 4,
    "alpha": 8.0,
    "iters": 12,
    "batch_size": 3,
    "learning_rate": 1e-2,
    "eval_every": 3,
    "save_every": 4,
}


class Killed(Exception):
    """The process is gone: nothing after this is run."""


class KillAt(Watcher):
    def __init__(self, step: int) -> None:
        self._step = step

    def stepped(self, record: StepRecord, history: History) -> None:
        if record.step == self._step:
            raise Killed


def make(folder: Path, watcher: Watcher | None = None, valid: int = 3, **changes: Any) -> Trainer:
    options = TrainOptions(**{**OPTIONS, **changes})
    model = trained_model(options, is_moved=False)
    identity = {"data": "d", **options.to_json()}
    return Trainer(model, dataset(valid=valid), options, folder, BASE, identity, watcher)


def losses(trainer: Trainer) -> list[float]:
    return [each.loss for each in trainer.history.steps]


def test_the_loss_falls_and_a_seed_gives_one_curve(tmp_path: Path) -> None:
    trainers = [make(tmp_path / str(number), seed=seed) for number, seed in enumerate((0, 0, 1))]
    for trainer in trainers:
        trainer.run()
    first, again, other = map(losses, trainers)
    assert first == again != other
    assert sum(first[-4:]) < sum(first[:4])
    assert adapter_bytes(tmp_path / "0") == adapter_bytes(tmp_path / "1")
    assert adapter_bytes(tmp_path / "0") != adapter_bytes(tmp_path / "2")


@pytest.mark.parametrize("changes", [{}, {"optimizer_bits": 8}, {"method": Method.DORA}])
@pytest.mark.parametrize("killed_at", [1, 4, 7])
def test_killed_at_any_step_the_adapter_is_byte_for_byte_that_of_a_whole_run(
    tmp_path: Path, killed_at: int, changes: dict[str, Any]
) -> None:
    make(tmp_path / "whole", **changes).run()
    with pytest.raises(Killed):
        make(tmp_path / "parts", KillAt(killed_at), **changes).run()
    again = make(tmp_path / "parts", **changes)
    assert again.resume() is False
    assert again.step == (killed_at - 1) // 4 * 4
    again.run()
    assert adapter_bytes(tmp_path / "parts") == adapter_bytes(tmp_path / "whole")
    assert len(again.history.steps) == OPTIONS["iters"]


def test_an_interrupt_saves_the_last_whole_step(tmp_path: Path) -> None:
    class Interrupt(Watcher):
        def stepped(self, record: StepRecord, history: History) -> None:
            if record.step == 6:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, Interrupt()).run()
    again = make(tmp_path)
    again.resume()
    assert again.step == 5


def test_a_training_that_has_ended_says_so(tmp_path: Path) -> None:
    make(tmp_path).run()
    assert make(tmp_path).resume() is True


@pytest.mark.parametrize(
    ("changes", "told"), [({"seed": 3}, "its seed is 0, and now it is 3"), ({"rank": 8}, "rank")]
)
def test_a_state_of_another_training_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    make(tmp_path).run()
    with pytest.raises(TrainingError, match=told):
        make(tmp_path, **changes).resume()


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    make(tmp_path).run()
    (tmp_path / "training.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(TrainingError, match="is damaged"):
        make(tmp_path).resume()


def test_the_best_adapter_is_kept_and_patience_ends_it(tmp_path: Path) -> None:
    # Far too fast: it soon gets worse.
    trainer = make(tmp_path, learning_rate=0.5, patience=2, iters=40, warmup=0.0)
    trainer.run()
    best = trainer.history.best
    assert best is not None
    assert len(trainer.history.steps) == best.step + 2 * OPTIONS["eval_every"] < 40
    make(tmp_path / "short", learning_rate=0.5, warmup=0.0, iters=40, patience=2).run()
    assert adapter_bytes(tmp_path) == adapter_bytes(tmp_path / "short")


def test_without_anything_held_out_the_last_adapter_is_kept(tmp_path: Path) -> None:
    trainer = make(tmp_path, valid=0)
    trainer.run()
    assert trainer.history.valid == []
    assert adapter_bytes(tmp_path)


def test_a_loss_that_is_no_number_names_the_example_and_keeps_the_last_good_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(tmp_path, valid=0)
    bad = trainer._batches.step(3)[0].examples[1]
    plain = trainer_module.losses_of

    def losses_with_one_bad(model: Any, pack: Any) -> list[mx.array]:
        return [
            found + (mx.inf - mx.inf if each is bad else 0)
            for each, found in zip(pack.examples, plain(model, pack), strict=True)
        ]

    def gradients(packs: Any) -> Any:
        total, found = Trainer._gradients(trainer, packs)
        return (float("nan") if bad in packs[0].examples else total), found

    monkeypatch.setattr(trainer_module, "losses_of", losses_with_one_bad)
    monkeypatch.setattr(trainer, "_gradients", gradients)
    with pytest.raises(TrainingError, match=rf"Step 4: the loss is nan, at {bad.place}\."):
        trainer.run()
    good = make(tmp_path / "good", KillAt(3), valid=0)
    with pytest.raises(Killed):
        good.run()
    good._write_result()
    assert adapter_bytes(tmp_path) == adapter_bytes(tmp_path / "good")


@pytest.mark.parametrize("step", ["state", "adapter"])
def test_a_full_disk_leaves_what_was_saved_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with pytest.raises(Killed):
        make(tmp_path, KillAt(7)).run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real: Callable[..., Any] = os.replace

    def full(source: Any, target: Any) -> None:
        name = "training" if step == "state" else "adapters"
        if Path(target).name.startswith(name):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    again = make(tmp_path)
    again.resume()
    with pytest.raises(TrainingError, match=r"cannot be written: No space left on device"):
        again.run()
    monkeypatch.setattr(os, "replace", real)
    kept = "training.safetensors" if step == "state" else "adapters.safetensors"
    assert (tmp_path / kept).read_bytes() == before[kept]
    assert not list(tmp_path.glob(".draft*"))
    make(tmp_path / "whole").run()
    again = make(tmp_path)
    again.resume()
    again.run()
    assert adapter_bytes(tmp_path) == adapter_bytes(tmp_path / "whole")


def test_a_failing_write_of_mlx_says_how_much_of_the_disk_is_free(tmp_path: Path) -> None:
    def fails(draft: Path) -> None:
        draft.write_bytes(b"half")
        raise RuntimeError("[write] Unable to write 9 bytes to file..")

    with pytest.raises(TrainingError, match=r"9 bytes to file \([\d,.]+ MB are free there\)\. "):
        write_whole(tmp_path / "adapters.safetensors", fails)
    assert not list(tmp_path.iterdir())


def test_the_log_has_a_line_for_each_step_and_validation(tmp_path: Path) -> None:
    make(tmp_path).run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [each["step"] for each in lines if "loss" in each] == list(range(1, 13))
    assert [each["step"] for each in lines if "valid_loss" in each] == [0, 3, 6, 9, 12]


@pytest.mark.parametrize(
    "changes", [{"iters": 0}, {"learning_rate": 0.0}, {"warmup": 1.0}, {"num_layers": 0}]
)
def test_options_that_cannot_be_are_named(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--" + next(iter(changes)).replace("_", "-")):
        TrainOptions(**changes)


def test_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(UsageError, match="--num-layers is 3, and the model has 2"):
        trained_model(TrainOptions(num_layers=3))


def test_an_interrupt_in_the_middle_of_a_step_does_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "whole").run()
    trainer = make(tmp_path / "parts")
    take = trainer._take

    def interrupted(parameters: Any) -> None:
        take(parameters)
        if trainer.step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    again = make(tmp_path / "parts")
    again.resume()
    assert again.step == 5
    again.run()
    assert adapter_bytes(tmp_path / "parts") == adapter_bytes(tmp_path / "whole")


def test_an_interrupt_while_validating_does_the_step_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "whole").run()
    trainer = make(tmp_path / "parts")
    validate = trainer._validate

    def interrupted() -> None:
        if trainer.step == 6:
            raise KeyboardInterrupt
        validate()

    monkeypatch.setattr(trainer, "_validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    again = make(tmp_path / "parts")
    again.resume()
    again.run()
    assert [each.step for each in again.history.valid] == [0, 3, 6, 9, 12]
    assert adapter_bytes(tmp_path / "parts") == adapter_bytes(tmp_path / "whole")
