"""The training loop: resumable, planned by wall clock, quick accuracies on the tuning split on the way."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nano_data.batches import IGNORED, Batch, Batcher
from nano_data.model import Nano, causal_mask
from nano_data.optimizer import Muon


@dataclass(frozen=True)
class Plan:
    """How long and how fast; rates fall linearly over the last part of the time."""

    minutes: float
    muon_rate: float = 0.006
    adam_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_steps: int = 100
    decay_from: float = 0.4
    checkpoint_minutes: float = 4.0
    check_minutes: float = 10.0

    def rate_factor(self, step: int, minutes: float) -> float:
        """1 after the warm-up, then down to 0 from `decay_from` of the time to its end."""
        left = (1 - minutes / self.minutes) / (1 - self.decay_from)
        return max(0.0, min(1.0, (step + 1) / self.warmup_steps, left))


@dataclass
class Progress:
    """What has been done so far, over all runs of the same work folder."""

    step: int = 0
    tokens: int = 0
    minutes: float = 0.0


class Trainer:
    """Model, optimizers and progress; everything that a checkpoint holds."""

    def __init__(self, model: Nano, prefix: list[int], batcher: Batcher, plan: Plan) -> None:
        self.model, self.batcher, self.plan = model, batcher, plan
        self.prefix = torch.tensor([prefix])
        self.progress = Progress()
        matrices = [p for p in model.layers.parameters() if p.dim() == 2]
        taken = {id(p) for p in matrices}
        others: list[nn.Parameter] = [p for p in model.parameters() if id(p) not in taken]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0.0)

    def step(self, batches: list[Batch]) -> float:
        """One update; returns the mean loss over the targets of all batches."""
        with torch.autocast("cpu", torch.bfloat16):
            loss = self._loss(batches)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        factor = self.plan.rate_factor(self.progress.step, self.progress.minutes)
        for group in self.adam.param_groups:
            group["lr"] = self.plan.adam_rate * factor
        self.adam.step()
        self.muon.step(self.plan.muon_rate * factor, self.plan.weight_decay)
        self.model.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.tokens += sum(batch.real_tokens for batch in batches)
        return loss.item()

    def run(self, work: Path, on_checkpoint: Callable[[], None], check: Callable[[], str]) -> None:
        """Train to the end of the plan's minutes, counted over all runs."""
        progress = self.progress
        before, tokens_before, start = progress.minutes, progress.tokens, time.monotonic()
        next_save, next_check = before + self.plan.checkpoint_minutes, before + 3.0
        losses: list[float] = []
        while progress.minutes < self.plan.minutes:
            losses.append(self.step(self.batcher.next_step()))
            elapsed = time.monotonic() - start
            progress.minutes = before + elapsed / 60
            if progress.step % 50 == 0:
                rate = (progress.tokens - tokens_before) / elapsed
                print(
                    f"step {progress.step}  loss {sum(losses) / len(losses):.4f}  "
                    f"{progress.tokens / 1e6:.2f}M ids  {rate:.0f} ids/s  "
                    f"{self.plan.minutes - progress.minutes:.0f} min left",
                    flush=True,
                )
                losses = []
            if progress.minutes >= next_save:
                next_save = progress.minutes + self.plan.checkpoint_minutes
                self.save(work / "checkpoint.pt")
                on_checkpoint()
            if progress.minutes >= next_check:
                next_check = progress.minutes + self.plan.check_minutes
                print(check(), flush=True)
        self.save(work / "checkpoint.pt")
        on_checkpoint()
        print(check(), flush=True)

    def save(self, path: Path) -> None:
        """Written beside, then renamed: a crash leaves the last good checkpoint."""
        state = {
            "model": self.model.state_dict(),
            "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(),
            "progress": vars(self.progress),
        }
        torch.save(state, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)

    def resume(self, path: Path) -> bool:
        """Take up a checkpoint if there is one; the data goes on with numbers not drawn before."""
        if not path.exists():
            return False
        state: dict[str, Any] = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.progress = Progress(**state["progress"])
        self.batcher.rng.seed(f"resumed at {self.progress.step}")
        return True

    def _loss(self, batches: list[Batch]) -> Tensor:
        past = self.model.prefix(self.prefix)
        total = sum(batch.targets for batch in batches)
        loss = torch.zeros(())
        for batch in batches:
            length = batch.tokens.shape[1]
            offset = self.prefix.shape[1] if batch.has_prefix else 0
            hidden, _ = self.model(
                batch.tokens,
                torch.arange(offset, offset + length).unsqueeze(0),
                causal_mask(length, offset),
                past if batch.has_prefix else None,
            )
            logits = self.model.output(hidden.flatten(0, 1)[batch.target_index])
            part = F.cross_entropy(
                logits.float(), batch.target, ignore_index=IGNORED, reduction="sum"
            )
            loss = loss + part / total
        return loss
