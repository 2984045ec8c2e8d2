"""Trainer: steps, validation, the best adapter kept, state saved, and going on from it."""

# mypy: allow-untyped-calls

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_unflatten

from mlx_magistral.decode.buffers import KeptBuffers
from mlx_magistral.errors import TrainingError
from mlx_magistral.memory.machine import this_machine
from mlx_magistral.memory.plan import reserve_bytes
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.train.adapter_folder import Base, write_adapter
from mlx_magistral.train.dataset import Dataset
from mlx_magistral.train.files import write_text
from mlx_magistral.train.gradients import (
    Gradients,
    PackLoss,
    layer_by_layer,
    losses_of,
    trainable,
    whole_graph,
)
from mlx_magistral.train.history import History, StepRecord, ValidRecord
from mlx_magistral.train.optimizer import (
    clipped,
    flat_state,
    make_optimizer,
    rate_at,
    restore_state,
)
from mlx_magistral.train.options import TrainOptions
from mlx_magistral.train.packing import Batches, Pack, packs_of
from mlx_magistral.train.state import TrainState, load_state, save_state
from mlx_magistral.train.watcher import Watcher

LOG_FILE = "log.jsonl"


class Trainer:
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
        self.history = History()
        self.step = 0
        self._model = model
        self._data = data
        self._options = options
        self._folder = folder
        self._base = base
        self._identity = identity
        self._watcher = watcher or Watcher()
        self._batches = Batches(
            data.train, options.batch_size, options.grad_accumulation_steps, options.seed
        )
        self._optimizer = make_optimizer(options)
        self._optimizer.init(trainable(model))
        # Packs differ in length, and MLX would keep the buffers of them all.
        self._kept = KeptBuffers(reserve_bytes(this_machine()))

    def resume(self) -> bool:
        """Take up the state in the folder, if there is one; returns whether it has ended already.

        Raises TrainingError where it is of another training.
        """
        state = load_state(self._folder, self._identity)
        if state is None:
            return False
        self.step, self.history = state.step, state.history
        if not state.is_over:
            self._take(state.parameters)
            restore_state(self._optimizer, state.optimizer, list(state.parameters))
        return state.is_over

    def run(self) -> None:
        """Train to the end, or until nothing gets better; raises TrainingError.

        What was done is saved when it is interrupted.
        """
        if self.step == 0 and not self.history.valid:
            self._validate()
        latest = self._state()
        try:
            while self.step < self._options.iters and not self._is_patience_over():
                self._train_step()
                if self.step % self._options.eval_every == 0 or self.step == self._options.iters:
                    self._validate()
                latest = self._state()
                if self.step % self._options.save_every == 0:
                    self._save(latest)
        except KeyboardInterrupt:
            # It may have come in the middle of a step, which is then done again.
            self._save(latest)
            raise
        if self.history.best is None:
            self._write_adapter()
        self._save(TrainState(self.step, self._identity, self.history, {}, {}, is_over=True))

    def _train_step(self) -> None:
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
        parameters = trainable(self._model)
        self._optimizer.learning_rate = rate_at(self.step, self._options)
        updated = self._optimizer.apply_gradients(gradients, parameters)
        self._take(updated)
        mx.eval(updated, self._optimizer.state)
        record = StepRecord(
            step=self.step + 1,
            loss=loss,
            rate=rate_at(self.step, self._options),
            targets=targets,
            tokens=sum(pack.token_count for pack in packs),
            seconds=time.perf_counter() - started,
            norm=length,
        )
        self.step += 1
        self.history.steps.append(record)
        self._watcher.stepped(record, self.history)

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
            self._write_adapter()
        self._watcher.validated(record, self.history)

    def _is_patience_over(self) -> bool:
        patience = self._options.patience
        return patience > 0 and self.history.rounds_without_better >= patience

    def _take(self, parameters: Gradients) -> None:
        self._model.update(tree_unflatten(list(parameters.items())))

    def _write_adapter(self) -> None:
        write_adapter(self._folder, trainable(self._model), self._options, self._base)

    def _state(self) -> TrainState:
        """What is true between two steps; arrays are shared, and never changed in place."""
        parameters = trainable(self._model)
        optimizer = flat_state(self._optimizer, list(parameters))
        history = self.history.copy()
        return TrainState(self.step, self._identity, history, parameters, optimizer)

    def _save(self, state: TrainState) -> None:
        save_state(self._folder, state)
        write_text(self._folder / LOG_FILE, state.history.log())
        self._watcher.saved(state.step)

    def _not_finite(self, packs: Sequence[Pack], loss: float) -> TrainingError:
        """Names the example; the adapter as it was before this step stays, or is written."""
        if self.history.best is None:
            self._write_adapter()
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
