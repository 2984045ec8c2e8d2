"""DrafterPlan: what a training of a head needs at its peak, before a weight is read.

The target stays in memory and is run, never trained: its weights, and the passes that make replies
and states. Of the head there are parameters in 32 bits, gradients and what Muon and AdamW keep; of
a pack the states and what the unrolled chain keeps for its gradients. The factors were fitted to
peaks measured on a CPU (scripts/bench/drafter_memory.py); for Metal they are arithmetic.
"""

import math
from dataclasses import dataclass, replace

from mlx_magistral.errors import MemoryPlanError
from mlx_magistral.memory.machine import Backend, Machine
from mlx_magistral.memory.plan import reserve_bytes
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.eagle.config import HeadConfig
from mlx_magistral.model.eagle.reading import head_shapes
from mlx_magistral.train.drafter.loss import is_inside
from mlx_magistral.train.drafter.options import PLACES_AT_ONCE, DrafterOptions
from mlx_magistral.train.head import chunk_rows

# Kept of a row at each step of the chain until its gradient is computed: rows of the width, of the
# MLP, of queries and keys; and scores of all heads for each row of the pack.
_KEPT_DIM, _KEPT_HIDDEN, _KEPT_QUERIES, _KEPT_SCORES = 30.0, 14.0, 14.0, 5.0
# Packs that are tried where the one asked for does not fit.
_SMALLER_PACKS = (512, 256)
# Of the pack itself: states and last states of the target, as they come and as they are used.
_STATES = 2.0
_CHUNK_ARRAYS = 30.0
# Of the largest tensor's update, for each number.
_UPDATE_BYTES = 20.0
# Muon's momentum and AdamW's two moments, for each number, by the bits of the optimizer.
_MOMENTUM_BYTES = {32: 4.0, 8: 2.0}
_MOMENTS_BYTES = {32: 8.0, 8: 2.25}


@dataclass(frozen=True)
class DrafterPlan:
    """The bytes of one way to train; ``optimizer_bits`` and ``pack_tokens`` are what fits."""

    machine: Machine
    optimizer_bits: int
    pack_tokens: int
    target_bytes: int
    reply_bytes: int
    trained_bytes: int
    pack_bytes: int
    reserve_bytes: int

    @property
    def peak_bytes(self) -> int:
        """What mx.get_peak_memory() should say: replies are over before the first step."""
        return self.target_bytes + max(self.reply_bytes, self.trained_bytes + self.pack_bytes)

    @property
    def fits(self) -> bool:
        """Whether it is within the limit, reserve included."""
        return self.peak_bytes + self.reserve_bytes <= self.machine.limit_bytes

    def describe(self) -> str:
        """The sum as one line."""
        total = self.peak_bytes + self.reserve_bytes
        return (
            f"Memory: the model {_gb(self.target_bytes)} + the larger of replies "
            f"{_gb(self.reply_bytes)} and training {_gb(self.trained_bytes + self.pack_bytes)} "
            f"(head, gradients and {self.optimizer_bits}-bit optimizer {_gb(self.trained_bytes)}, "
            f"a pack of {self.pack_tokens:,} tokens {_gb(self.pack_bytes)}) + reserve "
            f"{_gb(self.reserve_bytes)} = {_gb(total)} of {_gb(self.machine.limit_bytes)} GB."
        )

    def require_fit(self) -> None:
        """Raise MemoryPlanError with the numbers and what to lower."""
        if not self.fits:
            raise MemoryPlanError(
                f"It does not fit {self.machine.name}. {self.describe()} Lower --draft-vocab or "
                "--max-tokens, or take a folder of fewer bits."
            )


def plan_drafter(
    target: ModelConfig,
    target_bytes: int,
    reply_bytes: int,
    head: HeadConfig,
    options: DrafterOptions,
    machine: Machine,
) -> DrafterPlan:
    """As ``options`` say where that fits; else with the optimizer in 8 bits, else smaller packs."""
    tokens = options.pack_tokens
    packs = [tokens, *(each for each in _SMALLER_PACKS if each < tokens)]
    ways = [(tokens, options.optimizer_bits), *((each, 8) for each in packs)]
    plans = (
        DrafterPlan(
            machine=machine,
            optimizer_bits=bits,
            pack_tokens=each,
            target_bytes=target_bytes,
            reply_bytes=reply_bytes,
            trained_bytes=trained_bytes(head, bits),
            pack_bytes=pack_bytes(
                target, head, replace(options, pack_tokens=each), machine.backend
            ),
            reserve_bytes=reserve_bytes(machine),
        )
        for each, bits in ways
    )
    tried: list[DrafterPlan] = []
    for plan in plans:
        if plan.fits:
            return plan
        tried.append(plan)
    return tried[-1]


def head_count(head: HeadConfig) -> int:
    """How many numbers are trained: all of a head but an embedding."""
    return sum(_sizes(head).values())


def trained_bytes(head: HeadConfig, optimizer_bits: int) -> int:
    """Parameters and gradients in fp32, and what the optimizer keeps."""
    inside = sum(size for name, size in _sizes(head).items() if is_inside(name))
    kept = inside * _MOMENTUM_BYTES[optimizer_bits]
    kept += (head_count(head) - inside) * _MOMENTS_BYTES[optimizer_bits]
    return int(head_count(head) * (4.0 + 4.0) + kept)


def pack_bytes(
    target: ModelConfig, head: HeadConfig, options: DrafterOptions, backend: Backend
) -> int:
    """The most that is there beside target and trained_bytes at any time of a step.

    A CPU computes in 32 bits, a GPU in 16 but for the attention of the chain.
    """
    layer, rows = head.layer, options.pack_tokens
    item = 4 if backend is Backend.CPU else 2
    states = rows * target.dim * (len(head.aux_layers) + 1) * item * _STATES
    wide = _KEPT_DIM * layer.dim + _KEPT_HIDDEN * layer.hidden_dim
    attention = _KEPT_QUERIES * layer.n_heads * layer.head_dim
    attention += _KEPT_SCORES * layer.n_heads * rows
    learning = options.unroll * rows * (wide * item + attention * 4)
    # In 16 bits the parameters are there once more.
    cast = 0 if item == 4 else 2 * head_count(head)
    at_once = min(chunk_rows(head.draft_vocab_size), rows)
    logits = _CHUNK_ARRAYS * 4 * at_once * head.draft_vocab_size
    whole = min(rows, PLACES_AT_ONCE) * target.vocab_size * item
    update = max(_sizes(head).values()) * _UPDATE_BYTES
    return int(states + max(learning + cast + logits + whole, update))


def _sizes(head: HeadConfig) -> dict[str, int]:
    left_out = ("embed_tokens.weight", "d2t")
    shapes = head_shapes(head).items()
    return {name: math.prod(shape) for name, shape in shapes if name not in left_out}


def _gb(nbytes: int) -> str:
    return f"{nbytes / 1e9:.2f}"
