"""Endless steps of training samples, padded in groups of about one length."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nano_data import chat
from nano_data.calculator import with_tools
from nano_data.chat import Conversation, Encoder, Sample

# Weight of each kind of conversation: about the share of samples, not of ids.
MIX = {
    "addition": 12,
    "subtraction": 12,
    "product_by_digit": 8,
    "product_2x2": 11,
    "story": 8,
    "chain": 13,
    "comparison": 9,
    "sorting": 24,
    "largest": 8,
    "counting": 11,
    "large": 5,
    "talk": 12,
    "follow_up": 9,
    "tools": 8,
}
# Few fixed shapes, because oneDNN prepares (and keeps) one kernel a shape.
LENGTHS = (48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 512, 640, 768, 1024)
BATCH_TOKENS = 2048
BATCHES_A_STEP = 4
IGNORED = -100  # the label that F.cross_entropy skips


@dataclass(frozen=True)
class Batch:
    """Right-padded rows of about one length: tokens [B, L]; targets are flat indices and ids."""

    tokens: Tensor
    has_prefix: bool
    target_index: Tensor
    target: Tensor
    targets: int
    real_tokens: int


def conversation(
    rng: random.Random, kind: str, split: str, language: str | None = None
) -> Conversation:
    """One conversation of the kind, all its problems from the split."""
    if kind == "follow_up":
        return chat.follow_ups(rng, split, language)
    if kind == "tools":
        return with_tools(rng, split, language)
    return chat.plain(rng, kind, split, language)


class Batcher:
    """Collects samples by length and prefix; a step is a few full batches taken at random."""

    def __init__(self, encoder: Encoder, seed: int, mix: dict[str, int]) -> None:
        self.encoder = encoder
        self.rng = random.Random(seed)
        self.mix = mix
        self._waiting: dict[tuple[bool, int], list[Sample]] = {}
        self._ready: list[Batch] = []

    def next_step(self) -> list[Batch]:
        """Draws until there is a choice of twice the batches that a step needs."""
        while len(self._ready) < 2 * BATCHES_A_STEP:
            kind = self.rng.choices(list(self.mix), list(self.mix.values()))[0]
            sample = self.encoder.encode(conversation(self.rng, kind, "train"))
            length = next((n for n in LENGTHS if n >= len(sample.tokens)), None)
            if length is None:
                continue
            queue = self._waiting.setdefault((sample.has_prefix, length), [])
            queue.append(sample)
            if len(queue) == BATCH_TOKENS // length:
                self._ready.append(_pad(queue, length))
                queue.clear()
        chosen = self.rng.sample(range(len(self._ready)), BATCHES_A_STEP)
        return [self._ready.pop(index) for index in sorted(chosen, reverse=True)]


def _pad(samples: list[Sample], length: int) -> Batch:
    """Padding is never a target and, being last, never seen: no mask is needed."""
    tokens = np.zeros((len(samples), length), dtype=np.int64)
    targets = np.zeros((len(samples), length), dtype=bool)
    for row, sample in enumerate(samples):
        tokens[row, : len(sample.tokens)] = sample.tokens
        targets[row, : len(sample.tokens)] = sample.is_target
    index = np.flatnonzero(targets)
    padding = -len(index) % 256
    target = np.pad(tokens.reshape(-1)[index], (0, padding), constant_values=IGNORED)
    return Batch(
        torch.from_numpy(tokens),
        samples[0].has_prefix,
        torch.from_numpy(np.pad(index - 1, (0, padding))),
        torch.from_numpy(target),
        len(index),
        sum(len(sample.tokens) for sample in samples),
    )
