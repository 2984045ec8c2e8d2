"""DrafterOptions: everything that decides what a training of a head computes, checked once."""

from dataclasses import asdict, dataclass
from typing import Any

from mlx_magistral.errors import UsageError
from mlx_magistral.train.options import Method, TrainOptions

# A later step of the unrolled chain counts so much less than the one before it (EAGLE-3's code).
STEP_DECAY = 0.8
# The target's logits of so many places at once, before they are cut to the draft vocabulary.
PLACES_AT_ONCE = 128


@dataclass(frozen=True)
class DrafterOptions:
    """``unroll`` is how many ids of a chain are trained at each place, 3 to 5.

    A step learns from ``pack_tokens`` ids of replies at most. ``draft_vocab`` columns are kept of
    the vocabulary, by how often their ids are said; ``hidden_dim`` is the MLP's width.
    """

    steps: int = 1000
    unroll: int = 4
    pack_tokens: int = 1024
    draft_vocab: int = 16384
    hidden_dim: int = 0
    learning_rate: float = 5e-4
    warmup: float = 0.02
    clip: float = 1.0
    optimizer_bits: int = 32
    seed: int = 0
    eval_every: int = 100
    save_every: int = 100

    def __post_init__(self) -> None:
        if not 3 <= self.unroll <= 5:
            raise UsageError(f"--unroll is 3 to 5 ids, not {self.unroll}.")
        if self.pack_tokens < 64:
            raise UsageError(f"--pack-tokens is 64 or more, not {self.pack_tokens}.")
        if self.draft_vocab < 1:
            raise UsageError(f"--draft-vocab is 1 or more, not {self.draft_vocab}.")
        self.schedule()

    def schedule(self) -> TrainOptions:
        """What the optimizer and the rates of a training go by."""
        return TrainOptions(
            method=Method.FULL,
            iters=self.steps,
            learning_rate=self.learning_rate,
            warmup=self.warmup,
            weight_decay=0.0,
            clip=self.clip,
            optimizer_bits=self.optimizer_bits,
            seed=self.seed,
            eval_every=self.eval_every,
            save_every=self.save_every,
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, for the state's identity and the card."""
        return asdict(self)
