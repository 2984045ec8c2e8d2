"""A training of a head from its request to its folder.

prompts -> plan -> the model's own replies -> draft vocabulary -> head -> steps -> folder and card

What is made on the way stands in OUTPUT/training: the replies as they come, the state of the steps,
and while it runs the states of the target, as far as --disk allows.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import mlx.core as mx

from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.errors import MissingExtraError, TrainingError
from mlx_magistral.hub.examine import examine
from mlx_magistral.memory.machine import this_machine
from mlx_magistral.memory.prefixes.fingerprint import weights_fingerprint
from mlx_magistral.memory.runtime import MemoryOptions, plan_memory
from mlx_magistral.model.checkpoint import Checkpoint
from mlx_magistral.model.eagle.config import HeadConfig
from mlx_magistral.model.eagle.network import Head
from mlx_magistral.model.eagle.reading import CONFIG_FILE, WEIGHTS_FILE
from mlx_magistral.train.drafter.card import CardFacts, drafter_card
from mlx_magistral.train.drafter.folder import CARD_FILE, write_head_folder
from mlx_magistral.train.drafter.fresh import fresh_head, head_config
from mlx_magistral.train.drafter.options import DrafterOptions
from mlx_magistral.train.drafter.plan import DrafterPlan, plan_drafter
from mlx_magistral.train.drafter.prompts import prompts_of
from mlx_magistral.train.drafter.replies import ReplyFile, ReplyOptions, make_replies, usable
from mlx_magistral.train.drafter.said import Packs, Said
from mlx_magistral.train.drafter.states import TargetStates
from mlx_magistral.train.drafter.steps import (
    Progress,
    learned_a_pack,
    read_progress,
    write_progress,
)
from mlx_magistral.train.drafter.trainer import DrafterTrainer
from mlx_magistral.train.drafter.vocabulary import covered, draft_vocabulary
from mlx_magistral.train.drafter.watcher import DrafterWatcher
from mlx_magistral.train.history import History
from mlx_magistral.train.plot import save_png
from mlx_magistral.train.reading import Record

WORK_FOLDER = "training"
CURVE_FILE = "curve.png"
_STATES_FOLDER = "states"
# Where neither hours nor tokens are given, each reply is learned so many times.
_EPOCHS = 4
# Of the hours given, what replies may take.
_REPLY_SHARE = 1 / 3
_TIMED_PACKS = 3
_MOST_HELD_OUT = 64
_FEWEST_STEPS = 20


@dataclass(frozen=True)
class DrafterRequest:
    """What to draft for, what to ask, and where to; of ``hours`` and ``tokens`` one at most.

    ``tokens`` are ids of replies that are learned from, again in each epoch. ``options.steps`` is
    found out.
    """

    model: str
    records: Sequence[Record]
    folder: Path
    options: DrafterOptions
    replies: ReplyOptions
    hours: float | None = None
    tokens: int | None = None
    disk_bytes: int = 10_000_000_000
    valid_share: float = 0.05


class DrafterJob:
    """Opened by reading headers and prompts; ``run`` reads the weights and trains."""

    def __init__(self, request: DrafterRequest) -> None:
        self.request = request
        self.prompts = prompts_of(request.records)
        if not self.prompts:
            raise TrainingError("There is no prompt to learn from: name --data or --from-sessions.")
        examined = examine(request.model)
        examined.require_tokenizer()
        examined.fetch()
        self.checkpoint: Checkpoint = examined.checkpoint
        self.head: HeadConfig = head_config(
            self.checkpoint.config, request.options.draft_vocab, request.options.hidden_dim
        )
        self.plan = self._plan()
        self.options = replace(
            request.options,
            optimizer_bits=self.plan.optimizer_bits,
            pack_tokens=self.plan.pack_tokens,
        )
        self._work = request.folder / WORK_FOLDER

    def run(self, watcher: DrafterWatcher, *, restart: bool = False) -> History:
        """Train and write everything; raises TrainingError, MemoryPlanError or UsageError."""
        began = time.monotonic()
        if restart:
            _forget(self.request.folder)
        self._work.mkdir(parents=True, exist_ok=True)
        progress = read_progress(self._work, self._identity())
        write_progress(self._work, progress)
        # 1. The target's own replies, those that are there already kept.
        model = Magistral.load(self.request.model, context_tokens=self._context_tokens)
        said = self._replies(model, progress, began, watcher)
        train, valid = self._split(said)
        # 2. A head whose columns are the ids that replies have most.
        ids = draft_vocabulary(train, self.head.draft_vocab_size, self.head.layer.vocab_size)
        targets = mx.array(ids, dtype=mx.uint32)
        states = self._states(model)
        first = Packs(train, self.options.pack_tokens, self.options.seed).step(0)
        sample, _ = states.of(first)
        head = fresh_head(self.head, model.model, targets, sample, self.options.seed)
        # 3. Its steps.
        facts = self._facts(said, valid, ids)
        trainer = self._trainer(head, model, targets, states, (train, valid), facts, watcher)
        if progress.steps is None:
            progress = replace(progress, steps=self._steps(trainer, train, began))
            write_progress(self._work, progress)
        trainer.fix_steps(progress.steps or _FEWEST_STEPS)
        if trainer.resume():
            raise TrainingError(
                f"{self.request.folder} is a training that has ended already, after "
                f"{trainer.step:,} steps. Add --restart to train anew."
            )
        watcher.begins(trainer.step, progress.steps or 0)
        trainer.run()
        self._finish(trainer.history)
        return trainer.history

    def _replies(
        self, model: Magistral, progress: Progress, began: float, watcher: DrafterWatcher
    ) -> list[Said]:
        request, kept = self.request, ReplyFile(self._work)

        def is_enough(kept: ReplyFile) -> bool:
            if progress.steps is not None:
                return True
            if request.hours is not None:
                return time.monotonic() - began > request.hours * 3600 * _REPLY_SHARE
            return request.tokens is not None and kept.tokens * _EPOCHS >= request.tokens

        problems = make_replies(
            model,
            self.prompts,
            kept,
            request.replies,
            is_enough=is_enough,
            on_reply=lambda kept: watcher.replied(len(kept.said), len(self.prompts), kept.tokens),
        )
        for line in problems:
            watcher.problem(line)
        return usable(kept)

    def _split(self, said: Sequence[Said]) -> tuple[list[Said], list[Said]]:
        """To learn from, and held out; with a single reply none is held out."""
        mixed = list(said)
        Random(self.options.seed).shuffle(mixed)
        share = self.request.valid_share
        count = min(_MOST_HELD_OUT, len(mixed) - 1, max(1, round(share * len(mixed))))
        count = count if share else 0
        return mixed[count:], mixed[:count]

    def _states(self, model: Magistral) -> TargetStates:
        folder = self._work / _STATES_FOLDER
        if self.request.disk_bytes:
            folder.mkdir(exist_ok=True)
        return TargetStates(
            model.model,
            self.head.aux_layers,
            chunk_tokens=model.memory.plan.chunk_tokens,
            folder=folder if self.request.disk_bytes else None,
            disk_bytes=self.request.disk_bytes,
        )

    def _trainer(
        self,
        head: Head,
        model: Magistral,
        targets: mx.array,
        states: TargetStates,
        texts: tuple[Sequence[Said], Sequence[Said]],
        facts: CardFacts,
        watcher: DrafterWatcher,
    ) -> DrafterTrainer:
        digest = hashlib.sha256()
        for said in (*texts[0], *texts[1]):
            digest.update(said.digest)
        folder = self.request.folder

        def on_best(best: Head, history: History) -> None:
            card = drafter_card(facts, self.options, history)
            write_head_folder(folder, best, self.head, targets, facts.target, card)

        return DrafterTrainer(
            head,
            model.model,
            targets,
            states,
            *texts,
            self.options,
            self._work,
            {**self._identity(), "data": digest.hexdigest(), **self.options.to_json()},
            on_best,
            watcher,
        )

    def _steps(self, trainer: DrafterTrainer, train: Sequence[Said], began: float) -> int:
        """By the tokens or the hours that were asked for, else by epochs."""
        packs = Packs(train, self.options.pack_tokens, self.options.seed)
        if self.request.hours is not None:
            left = self.request.hours * 3600 - (time.monotonic() - began)
            return max(_FEWEST_STEPS, int(left / trainer.seconds_a_step(_TIMED_PACKS)))
        if self.request.tokens is not None:
            return max(_FEWEST_STEPS, round(self.request.tokens / learned_a_pack(packs)))
        return max(_FEWEST_STEPS, _EPOCHS * packs.packs_an_epoch)

    def _finish(self, history: History) -> None:
        shutil.rmtree(self._work / _STATES_FOLDER, ignore_errors=True)
        try:
            save_png(
                history, f"{self.request.folder.resolve().name}: loss", self._work / CURVE_FILE
            )
        except MissingExtraError:
            pass  # a curve is no reason to fail after hours; the log has every point of it

    def _plan(self) -> DrafterPlan:
        memory = plan_memory(self.checkpoint, MemoryOptions(context_tokens=self._context_tokens))
        return plan_drafter(
            self.checkpoint.config,
            memory.plan.weight_bytes,
            memory.plan.peak_bytes - memory.plan.weight_bytes,
            self.head,
            self.request.options,
            this_machine(),
        )

    @property
    def _context_tokens(self) -> int:
        wanted = 2 * max(self.request.replies.max_tokens, 2048)
        return min(wanted, self.checkpoint.config.max_position_embeddings or wanted)

    def _facts(self, said: Sequence[Said], valid: Sequence[Said], ids: Sequence[int]) -> CardFacts:
        named = Path(self.request.model)
        return CardFacts(
            name=self.request.folder.resolve().name,
            target=named.resolve().name if named.exists() else self.request.model,
            prompts=len(self.prompts),
            replies=len(said) - len(valid),
            held_out=len(valid),
            reply_tokens=sum(len(each) - each.prompt_tokens for each in said),
            temperature=self.request.replies.temperature,
            columns=len(ids),
            covered=covered(valid or said, ids),
        )

    def _identity(self) -> dict[str, Any]:
        """What the replies and the state of a training must have been made with."""
        asked = [[each.messages, each.tools] for each in self.prompts]
        prompts = hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()
        replies = {f"reply {name}": each for name, each in asdict(self.request.replies).items()}
        return {"model": weights_fingerprint(self.checkpoint), "prompts": prompts, **replies}


def _forget(folder: Path) -> None:
    """Remove what an earlier training wrote, and nothing else."""
    shutil.rmtree(folder / WORK_FOLDER, ignore_errors=True)
    for name in (CONFIG_FILE, WEIGHTS_FILE, CARD_FILE):
        (folder / name).unlink(missing_ok=True)
