"""TrainOptions: everything that decides what a training computes, checked once."""

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from mlx_magistral.errors import UsageError


class Method(Enum):
    """What is trained: low-rank updates, those with lengths, or the weights themselves."""

    LORA = "lora"
    DORA = "dora"
    FULL = "full"


_COUNTS = ("rank", "iters", "batch_size", "grad_accumulation_steps", "eval_every", "save_every")
_CEILINGS = {"weight_decay": 1, "patience": 1 << 31, "seed": 1 << 63}


@dataclass(frozen=True)
class TrainOptions:
    """Names as mlx-lm has them; the same options on the same data give the same adapter.

    A step (``iters`` of them) is ``grad_accumulation_steps`` packs of ``batch_size`` examples.
    ``num_layers`` counts from the last one, -1 is all. ``grad_checkpoint`` computes layer by layer;
    it changes the memory, and sums in their last bits. ``optimizer_bits`` is 32 or 8.
    """

    method: Method = Method.LORA
    rank: int = 16
    alpha: float = 32.0
    num_layers: int = -1
    iters: int = 100
    batch_size: int = 4
    grad_accumulation_steps: int = 1
    learning_rate: float = 1e-4
    warmup: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0
    optimizer_bits: int = 32
    grad_checkpoint: bool = False
    seed: int = 0
    eval_every: int = 50
    patience: int = 0
    save_every: int = 50

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise UsageError(f"{_flag(name)} must be 1 or more, not {getattr(self, name)}.")
        for name in ("weight_decay", "patience", "seed"):
            if not 0 <= getattr(self, name) < _CEILINGS[name]:
                raise UsageError(
                    f"{_flag(name)} must be 0 or more and below {_CEILINGS[name]:,}, not "
                    f"{getattr(self, name)}."
                )
        for name in ("alpha", "learning_rate", "clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"{_flag(name)} must be more than 0, not {getattr(self, name)}.")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"--warmup is a share of the steps, 0 to 1, not {self.warmup}.")
        if self.optimizer_bits not in (8, 32):
            raise UsageError(f"--optimizer-bits is 8 or 32, not {self.optimizer_bits}.")
        if self.num_layers == 0 or self.num_layers < -1:
            raise UsageError(f"--num-layers is 1 or more, or -1 for all, not {self.num_layers}.")

    @property
    def scale(self) -> float:
        """What an update is multiplied by."""
        return self.alpha / self.rank

    def layers_of(self, count: int) -> int:
        """How many of a model's ``count`` layers are trained; raises UsageError."""
        if self.num_layers > count:
            raise UsageError(f"--num-layers is {self.num_layers}, and the model has {count}.")
        return count if self.num_layers == -1 else self.num_layers

    def to_json(self) -> dict[str, Any]:
        """All of it, for the state's identity and the adapter's card."""
        return {**asdict(self), "method": self.method.value}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
