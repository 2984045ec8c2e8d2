"""Trainer: steps, validation, the best adapter kept, state saved, and going on from it."""

# mypy: allow-untyped-calls

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.errors import TrainingError
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.train.adapter_folder import Base, write_adapter
from mlx_magistral.train.dataset import Dataset
from mlx_magistral.train.gradients import (
    Gradients,
    PackLoss,
    layer_by_layer,
    losses_of,
    trainable,
    whole_graph,
)
from mlx_magistral.train.history import StepRecord, ValidRecord
from mlx_magistral.train.loop import SavedLoop
from mlx_magistral.train.optimizer import clipped, make_optimizer
from mlx_magistral.train.options import TrainOptions
from mlx_magistral.train.packing import Batches, Pack, packs_of
from mlx_magistral.train.watcher import Watcher


class Trainer(SavedLoop):
    """Trains what prepare() made trainable of a model and writes it to ``folder``.

    ``identity`` is what the state must agree with to be gone on from.
    """

    def __init__(
        self,
        model: Transformer,
        data: Dataset,
        options: TrainOptions,
        folder: Path,
        base: Base,
        identity: dict[str, Any],
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(
            model,
            lambda: trainable(model),
            options,
            make_optimizer(options),
            folder,
            identity,
            watcher,
        )
        self._model = model
        self._data = data
        self._options = options
        self._base = base
        self._batches = Batches(
            data.train, options.batch_size, options.grad_accumulation_steps, options.seed
        )

    def run(self) -> None:
        """Train to the end, or until nothing gets better; raises TrainingError.

        What was done is saved when it is interrupted.
        """
        if self.step == 0 and not self.history.valid:
            self._validate()
        super().run()

    def _is_over(self) -> bool:
        patience = self._options.patience
        has_patience = patience == 0 or self.history.rounds_without_better < patience
        return super()._is_over() or not has_patience

    def _step(self) -> StepRecord:
        started = time.perf_counter()
        packs = self._batches.step(self.step)
        targets = sum(len(pack.targets) for pack in packs)
        total, gradients = self._gradients(packs)
        loss = total / targets
        gradients, norm = clipped(
            {name: each / targets for name, each in gradients.items()}, self._options.clip
        )
        length = _number(norm)
        if not math.isfinite(loss) or not math.isfinite(length):
            raise self._not_finite(packs, loss)
        rate = self._rate
        updated = self._learn(gradients)
        mx.eval(updated, self._optimizer.state)
        return StepRecord(
            step=self.step + 1,
            loss=loss,
            rate=rate,
            targets=targets,
            tokens=sum(pack.token_count for pack in packs),
            seconds=time.perf_counter() - started,
            norm=length,
        )

    def _gradients(self, packs: Sequence[Pack]) -> tuple[float, Gradients]:
        """Summed over the packs of a step, each done before the next begins."""
        total = 0.0
        gradients: Gradients = {}
        for pack in packs:
            part = self._pack(pack)
            gradients = _added(gradients, part.gradients)
            mx.eval(part.loss, gradients)
            total += _number(part.loss)
            self._kept.after_pass()
        return total, gradients

    def _pack(self, pack: Pack) -> PackLoss:
        if self._options.grad_checkpoint:
            return layer_by_layer(self._model, pack)
        return whole_graph(self._model, pack)

    def _validate(self) -> None:
        if not self._data.valid:
            return
        total, count = 0.0, 0
        self._model.eval()
        for pack in packs_of(self._data.valid, self._options.batch_size):
            losses = mx.concatenate(losses_of(self._model, pack))
            total += _number(losses.sum())
            count += losses.size
        self._model.train()
        record = ValidRecord(self.step, total / count)
        self.history.valid.append(record)
        if self.step and self.history.best is record:
            self._write_result()
        self._watcher.validated(record, self.history)

    def _write_result(self) -> None:
        write_adapter(self._folder, trainable(self._model), self._options, self._base)

    def _not_finite(self, packs: Sequence[Pack], loss: float) -> TrainingError:
        """Names the example; the adapter as it was before this step stays, or is written."""
        if self.history.best is None:
            self._write_result()
        places = [
            example.place
            for pack in packs
            for example, losses in zip(pack.examples, losses_of(self._model, pack), strict=True)
            if not math.isfinite(_number(losses.sum()))
        ]
        where = places or [example.place for pack in packs for example in pack.examples]
        return TrainingError(
            f"Step {self.step + 1}: the loss is {loss}, at {', '.join(where[:3])}. The last good "
            f"adapter is in {self._folder}. Look at that example, or lower --learning-rate."
        )


def _added(sums: Gradients, more: Gradients) -> Gradients:
    return {name: sums[name] + each for name, each in more.items()} if sums else more


def _number(scalar: mx.array) -> float:
    value = scalar.item()
    assert not isinstance(value, complex)
    return float(value)
