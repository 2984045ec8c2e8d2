"""A training from its request to its folder: data, plan, model, loop, and what comes out.

request -> examples -> check -> plan -> model -> steps -> adapter, card, log, curve
"""

import hashlib
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.errors import MissingExtraError, TrainingError, UsageError
from mlx_magistral.hub.examine import examine
from mlx_magistral.hub.resolve import named_folder
from mlx_magistral.hub.tokenizer_source import find_tokenizer
from mlx_magistral.memory.machine import this_machine
from mlx_magistral.memory.prefixes.fingerprint import weights_fingerprint
from mlx_magistral.memory.sizes import weight_bytes
from mlx_magistral.model.adapters.adapter import CONFIG_FILE
from mlx_magistral.model.adapters.identity import base_identity
from mlx_magistral.model.adapters.reading import MLX_FILE
from mlx_magistral.model.checkpoint import Checkpoint
from mlx_magistral.model.weights import build_model, read_weights
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer
from mlx_magistral.train.adapter_folder import CARD_FILE, Base, write_peft
from mlx_magistral.train.card import write_card
from mlx_magistral.train.dataset import VALID_SHARE, Dataset, make_dataset
from mlx_magistral.train.encoding import FinetuningEncoder
from mlx_magistral.train.example import LossOn
from mlx_magistral.train.files import require_writable
from mlx_magistral.train.history import History
from mlx_magistral.train.loop import LOG_FILE
from mlx_magistral.train.method import prepare, require_trainable
from mlx_magistral.train.options import TrainOptions
from mlx_magistral.train.packing import Batches
from mlx_magistral.train.plan import PackLoad, TrainPlan, plan_training
from mlx_magistral.train.plot import save_png
from mlx_magistral.train.reading import Record, encode_records
from mlx_magistral.train.state import STATE_FILE
from mlx_magistral.train.trainer import Trainer
from mlx_magistral.train.watcher import Watcher

CURVE_FILE = "curve.png"
PEFT_FOLDER = "peft"


@dataclass(frozen=True)
class TrainRequest:
    """What to train, on what, and where to.

    ``epochs`` takes the place of ``options.iters`` where it is given; ``max_tokens`` None is the
    longest example, up to the model's context. ``grad_checkpoint`` None leaves it to the plan.
    """

    model: str
    train: Sequence[Record]
    valid: Sequence[Record]
    folder: Path
    options: TrainOptions
    epochs: float | None = None
    grad_checkpoint: bool | None = None
    loss_on: LossOn = LossOn.ALL
    raw_system: bool = False
    max_tokens: int | None = None
    valid_share: float = VALID_SHARE
    is_strict: bool = False
    with_peft: bool = False

    def __post_init__(self) -> None:
        if self.epochs is not None and not 0 < self.epochs < math.inf:
            raise UsageError(f"--epochs must be more than 0, not {self.epochs}.")
        if not 0 <= self.valid_share < 1:
            raise UsageError(f"--valid-share is a share, 0 to 1, not {self.valid_share}.")


class TrainingJob:
    """Opened by reading headers and data; ``run`` reads the weights and trains."""

    def __init__(self, request: TrainRequest) -> None:
        examined = examine(request.model)
        examined.require_tokenizer()
        folder = examined.fetch()
        self.checkpoint: Checkpoint = examined.checkpoint
        self.tokenizer: Tokenizer = load_tokenizer(folder, find_tokenizer(folder))
        self.request = request
        require_trainable(request.options.method, self.checkpoint.quantization is not None)
        self.data = self._read_data()
        self.options = self._options()
        self.plan = self._plan()
        self.options = replace(self.options, grad_checkpoint=self.plan.is_checkpointed)

    @property
    def batches(self) -> Batches:
        """The packs of all steps."""
        chosen = self.options
        return Batches(
            self.data.train, chosen.batch_size, chosen.grad_accumulation_steps, chosen.seed
        )

    def run(self, watcher: Watcher, *, restart: bool = False) -> History:
        """Train and write everything; raises TrainingError, MemoryPlanError or UsageError."""
        folder = self.request.folder
        if restart:
            _forget(folder)
        require_writable(folder)
        model = build_model(self.checkpoint).model
        read_weights(model)
        named = named_folder(self.request.model)
        base = Base(
            self.request.model if named is None else named.resolve().name,
            base_identity(self.checkpoint),
            self.checkpoint.config.n_layers,
            model.model.norm.weight.dtype,
        )
        prepare(model, self.options)
        trainer = Trainer(model, self.data, self.options, folder, base, self._identity(), watcher)
        if not trainer.resume():
            if trainer.step:
                watcher.resumed(trainer.step)
            trainer.run()
        elif self._is_finished():
            raise TrainingError(
                f"{folder} is a training that has ended already, after {trainer.step:,} steps. "
                "Add --restart to train anew."
            )
        self._finish(base, trainer.history)
        return trainer.history

    def _finish(self, base: Base, history: History) -> None:
        folder = self.request.folder
        try:
            save_png(history, f"{folder.resolve().name}: loss", folder / CURVE_FILE)
        except MissingExtraError:
            pass  # a curve is no reason to fail after hours; the log has every point of it
        if self.request.with_peft:
            write_peft(folder, folder / PEFT_FOLDER)
        # The last, for it says that all is there.
        write_card(folder, base, self.options, self.data.check, history)

    def _is_finished(self) -> bool:
        """Whether what comes after the last step is there too."""
        folder = self.request.folder
        has_peft = (folder / PEFT_FOLDER / CONFIG_FILE).is_file()
        return (folder / CARD_FILE).is_file() and (has_peft or not self.request.with_peft)

    def _read_data(self) -> Dataset:
        request = self.request
        encoder = FinetuningEncoder(self.tokenizer, request.loss_on, raw_system=request.raw_system)
        train = list(encode_records(request.train, encoder))
        valid = list(encode_records(request.valid, encoder))
        ceiling = self.checkpoint.config.max_position_embeddings
        longest = max(map(len, (*train, *valid)), default=1)
        return make_dataset(
            train,
            valid,
            max_tokens=request.max_tokens or min(longest, ceiling or longest),
            seed=request.options.seed,
            valid_share=request.valid_share,
            is_strict=request.is_strict,
        )

    def _options(self) -> TrainOptions:
        request = self.request
        if request.epochs is None:
            return request.options
        packs = -(-len(self.data.train) // request.options.batch_size)
        steps = request.epochs * packs / request.options.grad_accumulation_steps
        return replace(request.options, iters=max(1, math.ceil(steps)))

    def _plan(self) -> TrainPlan:
        batches = self.batches
        # Later epochs group other examples: none has longer ones together than the longest.
        loads = [PackLoad.of(pack) for pack in (*batches.epoch(0), batches.longest)]
        return plan_training(
            self.checkpoint.config,
            _weight_bytes(self.checkpoint),
            self.options,
            loads,
            this_machine(),
            is_checkpointed=self.request.grad_checkpoint,
        )

    def _identity(self) -> dict[str, Any]:
        """What a state must have been made with; the plan's choice is among the options."""
        digest = hashlib.sha256()
        for example in (*self.data.train, *self.data.valid):
            digest.update(example.digest)
        return {
            "model": weights_fingerprint(self.checkpoint),
            "data": digest.hexdigest(),
            **self.options.to_json(),
        }


def _weight_bytes(checkpoint: Checkpoint) -> int:
    """As they are there while a training runs: a CPU unpacks quantized ones (method.py)."""
    if checkpoint.quantization is None or mx.default_device() != mx.cpu:
        return checkpoint.nbytes
    return weight_bytes(checkpoint.config, 16)


def _forget(folder: Path) -> None:
    """Remove what an earlier training wrote, and nothing else."""
    for name in (STATE_FILE, LOG_FILE, MLX_FILE, CONFIG_FILE, CARD_FILE, CURVE_FILE):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / PEFT_FOLDER, ignore_errors=True)
