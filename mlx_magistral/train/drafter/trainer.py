"""DrafterTrainer: steps, held-out acceptance, the best head kept, state saved, and going on."""

# mypy: allow-untyped-calls

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.errors import TrainingError
from mlx_magistral.model import device
from mlx_magistral.model.eagle.network import Head
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.train.drafter.loss import DraftLoss, Wanted, draft_loss, is_inside, trainable
from mlx_magistral.train.drafter.options import PLACES_AT_ONCE, DrafterOptions
from mlx_magistral.train.drafter.said import Packs, Rows, Said, Window
from mlx_magistral.train.drafter.states import TargetStates
from mlx_magistral.train.head import chunk_rows
from mlx_magistral.train.history import History, StepRecord, ValidRecord
from mlx_magistral.train.loop import SavedLoop
from mlx_magistral.train.muon import make_muon
from mlx_magistral.train.optimizer import clipped, restore_state
from mlx_magistral.train.watcher import Watcher

OnBest = Callable[[Head, History], None]


class DrafterTrainer(SavedLoop):
    """Trains a head on what its target said.

    ``on_best`` gets the head of the lowest held-out loss: from few replies that is more certain
    than the ids a pass.
    ``targets`` are the ids of the head's columns; ``identity`` is what a state must agree with to
    be gone on from.
    """

    def __init__(
        self,
        head: Head,
        target: Transformer,
        targets: mx.array,
        states: TargetStates,
        train: Sequence[Said],
        valid: Sequence[Said],
        options: DrafterOptions,
        folder: Path,
        identity: dict[str, Any],
        on_best: OnBest,
        watcher: Watcher | None = None,
    ) -> None:
        schedule = options.schedule()
        optimizer = make_muon(schedule, is_inside)
        parameters = partial(trainable, head)
        super().__init__(head, parameters, schedule, optimizer, folder, identity, watcher)
        self._head, self._target, self._targets = head, target, targets
        self._states = states
        self._packs = Packs(train, options.pack_tokens, options.seed)
        self._valid = Packs(valid, options.pack_tokens, options.seed).all() if valid else []
        self._options = options
        self._on_best = on_best
        # A CPU computes in fp32 twice as fast as in bf16.
        stored = target.model.norm.weight.dtype
        self._dtype = stored if device.is_gpu() else mx.float32

    def fix_steps(self, steps: int) -> None:
        """How many steps there are; to be called before ``resume``."""
        self._options = replace(self._options, steps=steps)
        self._schedule = self._options.schedule()
        self._identity = {**self._identity, **self._options.to_json()}

    def seconds_a_step(self, packs: int) -> float:
        """Of the first so many packs, a first one left out; what they teach is forgotten."""
        before, seconds = self._state(), []
        for number in range(packs + 1):
            self.step = number
            seconds.append(self._step().seconds)
        self.step = before.step
        self._take(before.parameters)
        restore_state(self._optimizer, before.optimizer, list(before.parameters))
        return sum(seconds[1:]) / packs

    def _step(self) -> StepRecord:
        started = time.perf_counter()
        windows = self._packs.step(self.step)
        done, rows = self._loss(windows, learns=True)
        gradients, norm = clipped(done.gradients, self._options.clip)
        loss, length = float(done.loss.item()), float(norm.item())  # type: ignore[arg-type]
        if not math.isfinite(loss) or not math.isfinite(length):
            raise TrainingError(
                f"At step {self.step + 1} the loss is {loss}. Lower --learning-rate; the state of "
                "the latest save is whole."
            )
        rate = self._rate
        updated = self._learn(gradients)
        # One after the other: what an update holds meanwhile is as large as the tensor, five times.
        for name in list(updated):
            mx.eval(updated.pop(name), self._optimizer.state[name])
        mx.eval(self._optimizer.state)
        self._kept.after_pass()
        return StepRecord(
            step=self.step + 1,
            loss=loss,
            rate=rate,
            targets=sum(done.asked),
            tokens=rows.count,
            seconds=time.perf_counter() - started,
            norm=length,
        )

    def _loss(self, windows: Sequence[Window], *, learns: bool) -> tuple[DraftLoss, Rows]:
        rows = Rows(windows, self._options.unroll)
        states, last = self._states.of(windows)
        embed = self._target.model.embed_tokens
        done = draft_loss(
            self._head,
            lambda tokens: embed(tokens).astype(self._dtype),
            rows,
            states[mx.array(rows.places)].astype(self._dtype),
            self._wanted_of(rows, last),
            self._targets,
            learns=learns,
        )
        return done, rows

    def _wanted_of(self, rows: Rows, last: mx.array) -> Wanted:
        """The steps of a chain ask for nearly the same places: where there is room, once."""
        read: list[Any] = [step.read.tolist() for step in rows.steps]
        asked = sorted({place for each in read for place in each})
        if len(asked) > chunk_rows(self._targets.size):
            return lambda places: self._wanted(last, places)
        logits = self._wanted(last, mx.array(asked))
        order = mx.zeros((last.shape[0],), mx.uint32)
        order[mx.array(asked)] = mx.arange(len(asked), dtype=mx.uint32)
        return lambda places: logits[order[places]]

    def _wanted(self, last: mx.array, places: mx.array) -> mx.array:
        """The target's logits over the draft vocabulary (places, columns), a few at a time."""
        parts = []
        for start in range(0, places.shape[0], PLACES_AT_ONCE):
            hidden = last[places[start : start + PLACES_AT_ONCE]]
            parts.append(self._target.logits(hidden)[:, self._targets])
            mx.eval(parts[-1])
        return mx.concatenate(parts)

    def _validate(self) -> None:
        if not self._valid:
            return
        loss, hits, asked = 0.0, [0] * self._options.unroll, 0
        for windows in self._valid:
            done, _ = self._loss(windows, learns=False)
            loss += float(done.loss.item())  # type: ignore[arg-type]
            hits = [sum_ + int(each.item()) for sum_, each in zip(hits, done.hits, strict=True)]  # type: ignore[arg-type]
            asked += done.asked[0]
            self._kept.after_pass()
        # A pass gives the id that the target draws, and the chain as far as it is right.
        ids_a_pass = 1 + sum(hits) / max(asked, 1)
        record = ValidRecord(self.step, loss / len(self._valid), ids_a_pass)
        self.history.valid.append(record)
        if self.history.best is record:
            self._write_result()
        self._watcher.validated(record, self.history)

    def _write_result(self) -> None:
        self._on_best(self._head, self.history)
