"""SavedLoop: steps with validations and saves, and going on from a save as if nothing had been.

What a step computes, what is validated and what is kept of it is the subclass's.
"""

# mypy: allow-untyped-calls

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlx.nn.layers.base import Module
from mlx.optimizers import AdamW
from mlx.utils import tree_unflatten

from mlx_magistral.decode.buffers import KeptBuffers
from mlx_magistral.memory.machine import this_machine
from mlx_magistral.memory.plan import reserve_bytes
from mlx_magistral.train.files import write_text
from mlx_magistral.train.gradients import Gradients
from mlx_magistral.train.history import History, StepRecord
from mlx_magistral.train.optimizer import flat_state, rate_at, restore_state
from mlx_magistral.train.options import TrainOptions
from mlx_magistral.train.state import TrainState, load_state, save_state
from mlx_magistral.train.watcher import Watcher

LOG_FILE = "log.jsonl"


class SavedLoop(ABC):
    """Trains what ``parameters`` names of a module; state and log are in ``folder``.

    ``schedule`` has steps, rates and how often to save; ``identity`` is what the state must agree
    with to be gone on from.
    """

    def __init__(
        self,
        module: Module,
        parameters: Callable[[], Gradients],
        schedule: TrainOptions,
        optimizer: AdamW,
        folder: Path,
        identity: dict[str, Any],
        watcher: Watcher | None = None,
    ) -> None:
        self.history = History()
        self.step = 0
        self._module, self._parameters = module, parameters
        self._schedule = schedule
        self._folder, self._identity = folder, identity
        self._watcher = watcher or Watcher()
        self._optimizer = optimizer
        self._optimizer.init(parameters())
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
        """Train to the end; raises TrainingError. What was done is saved when interrupted."""
        latest = self._state()
        try:
            while not self._is_over():
                self._train_step()
                is_last = self.step == self._schedule.iters
                if self.step % self._schedule.eval_every == 0 or is_last:
                    self._validate()
                latest = self._state()
                if self.step % self._schedule.save_every == 0:
                    self._save(latest)
        except KeyboardInterrupt:
            # It may have come in the middle of a step, which is then done again.
            self._save(latest)
            raise
        if self.history.best is None:
            self._write_result()
        self._save(TrainState(self.step, self._identity, self.history, {}, {}, is_over=True))

    @abstractmethod
    def _step(self) -> StepRecord:
        """Compute and learn one step; a loss that is no number raises TrainingError."""

    @abstractmethod
    def _validate(self) -> None:
        """Measure, note it in the history, and write what is the best so far."""

    @abstractmethod
    def _write_result(self) -> None:
        """What was trained, as it is."""

    def _is_over(self) -> bool:
        return self.step >= self._schedule.iters

    def _train_step(self) -> None:
        record = self._step()
        self.step += 1
        self.history.steps.append(record)
        self._watcher.stepped(record, self.history)

    @property
    def _rate(self) -> float:
        return rate_at(self.step, self._schedule)

    def _learn(self, gradients: Gradients) -> Gradients:
        """Take the parameters after an update with these; they are not evaluated."""
        self._optimizer.learning_rate = self._rate
        updated: Gradients = self._optimizer.apply_gradients(gradients, self._parameters())
        self._take(updated)
        return updated

    def _take(self, parameters: Gradients) -> None:
        self._module.update(tree_unflatten(list(parameters.items())))

    def _state(self) -> TrainState:
        """What is true between two steps; arrays are shared, and never changed in place."""
        parameters = self._parameters()
        optimizer = flat_state(self._optimizer, list(parameters))
        return TrainState(self.step, self._identity, self.history.copy(), parameters, optimizer)

    def _save(self, state: TrainState) -> None:
        save_state(self._folder, state)
        write_text(self._folder / LOG_FILE, state.history.log())
        self._watcher.saved(state.step)
