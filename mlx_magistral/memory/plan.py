"""MemoryPlan: weights, KV cache, temporaries and reserve against the machine's limit.

Made before anything is allocated, so that a run that cannot fit ends with the numbers and never in
the middle of a reply.
"""

import math
from dataclasses import dataclass

from mlx_magistral.errors import MemoryPlanError
from mlx_magistral.memory.machine import MIB, Backend, Machine
from mlx_magistral.memory.sizes import kept_bytes, kv_bytes, pass_bytes, token_kv_bytes
from mlx_magistral.memory.sysctl import WIRED_LIMIT_MB
from mlx_magistral.model.cache import STEP_TOKENS
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.quantized_cache import can_quantize

# Prefill chunks, best first. A GPU is kept busy by 2048 rows, mlx-lm's figure too. On a CPU scores
# and activations of 256 stay in its caches: nano prefills 2,200 ids in 6.3 s against 15.4 s with
# 2048.
CHUNKS = {Backend.METAL: (2048, 1024, 512, 256), Backend.CPU: (256,)}
# For logits and everything else that is not counted, beside the buffers that MLX keeps for reuse.
_RESERVE_SHARE, _RESERVE_CEILING = 0.05, 1_000_000_000
# Of a Mac's memory, the most that a limit set by hand may give to the GPU.
LARGEST_LIMIT_SHARE = 0.85
_LIMIT_STEP_MB = 256


@dataclass(frozen=True)
class MemoryPlan:
    """The bytes of one way to run; ``context_tokens`` is prompt and reply together."""

    machine: Machine
    context_tokens: int
    kv_bits: int
    chunk_tokens: int
    weight_bytes: int
    kv_bytes: int
    workspace_bytes: int
    reserve_bytes: int

    @property
    def peak_bytes(self) -> int:
        """What mx.get_peak_memory() should say at the end of the context."""
        return self.weight_bytes + self.kv_bytes + self.workspace_bytes

    @property
    def free_bytes(self) -> int:
        """What is left of the limit, reserve taken off; negative where it does not fit."""
        return self.machine.limit_bytes - self.peak_bytes - self.reserve_bytes

    @property
    def fits(self) -> bool:
        """Whether all of it is within the limit."""
        return self.free_bytes >= 0

    @property
    def weights_alone_exceed(self) -> bool:
        """Whether no context and no KV format could make it fit."""
        return self.weight_bytes + self.reserve_bytes > self.machine.limit_bytes

    def describe(self) -> str:
        """The sum as one line: weights 13.26 + KV 6.71 + ... = 21.9 of 22.9 GB."""
        terms = (
            ("weights", self.weight_bytes),
            (f"{self.kv_bits}-bit KV for {self.context_tokens:,} tokens", self.kv_bytes),
            (f"workspace of {self.chunk_tokens}-token chunks", self.workspace_bytes),
            ("reserve", self.reserve_bytes),
        )
        total = self.peak_bytes + self.reserve_bytes
        parts = " + ".join(f"{name} {_gb(size)}" for name, size in terms)
        return f"{parts} = {_gb(total)} of {_gb(self.machine.limit_bytes)} GB"


def make_plan(
    config: ModelConfig,
    weights: int,
    machine: Machine,
    context_tokens: int,
    *,
    kv_bits: int | None = None,
    chunk_tokens: int | None = None,
) -> MemoryPlan:
    """The best plan that fits: 16-bit KV and the largest chunk first, then less of each.

    ``weights`` is in bytes; bits and chunk are fixed where they are given. Where nothing fits the
    returned plan is the smallest, and its ``fits`` is False.
    """
    plans = [
        _plan(config, weights, machine, context_tokens, bits, chunk)
        for bits in ((kv_bits,) if kv_bits else automatic_kv_bits(config))
        for chunk in ((chunk_tokens,) if chunk_tokens else CHUNKS[machine.backend])
    ]
    return next((plan for plan in plans if plan.fits), plans[-1])


def automatic_kv_bits(config: ModelConfig) -> tuple[int, ...]:
    """KV bits that are taken without being asked for, best first.

    4 changes what some models say, and heads that MLX cannot quantize stay at 16.
    """
    return (16, 8) if can_quantize(config.head_dim) else (16,)


def longest_context(
    config: ModelConfig, weights: int, machine: Machine, kv_bits: int, ceiling: int
) -> int:
    """The most tokens, in steps of 256 up to ``ceiling``, that fit with the smallest chunk."""
    chunk = CHUNKS[machine.backend][-1]
    low, high = 0, ceiling // STEP_TOKENS
    while low < high:
        middle = (low + high + 1) // 2
        fits = _plan(config, weights, machine, middle * STEP_TOKENS, kv_bits, chunk).fits
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * STEP_TOKENS


def require_fit(config: ModelConfig, plan: MemoryPlan) -> None:
    """Raise MemoryPlanError with the numbers, and the context that would fit, if there is one."""
    if plan.fits:
        return
    tokens = longest_context(
        config, plan.weight_bytes, plan.machine, plan.kv_bits, plan.context_tokens
    )
    advice = f"Use --context {tokens}" if tokens else "Convert to fewer bits"
    limit = wired_limit_mb(plan)
    if limit is not None:
        advice += f", raise macOS's limit with: sudo sysctl {WIRED_LIMIT_MB}={limit}"
    raise MemoryPlanError(
        f"It does not fit {plan.machine.name}: {plan.describe()}. {advice}, or take a machine with "
        "more memory."
    )


def wired_limit_mb(plan: MemoryPlan) -> int | None:
    """The limit of macOS's, in MiB, under which the plan fits; None where there is none to set.

    The system and its programs keep 15 % of the memory.
    """
    peak = plan.peak_bytes
    needed = min(peak / (1 - _RESERVE_SHARE), peak + _RESERVE_CEILING)
    megabytes = math.ceil(needed / MIB / _LIMIT_STEP_MB) * _LIMIT_STEP_MB
    largest = LARGEST_LIMIT_SHARE * plan.machine.memory_bytes
    return megabytes if plan.machine.limit_bytes < megabytes * MIB <= largest else None


def reserve_bytes(machine: Machine) -> int:
    """What every plan leaves free for buffers kept for reuse and all that is not counted."""
    return min(int(machine.limit_bytes * _RESERVE_SHARE), _RESERVE_CEILING)


def lowered_note(plan: MemoryPlan) -> str | None:
    """One line where the plan lowered something by itself, else None."""
    changes = []
    if plan.kv_bits != 16:
        changes.append(f"{plan.kv_bits}-bit KV cache")
    if plan.chunk_tokens != CHUNKS[plan.machine.backend][0]:
        changes.append(f"prefill chunks of {plan.chunk_tokens} tokens")
    return f"To fit the memory: {' and '.join(changes)} ({plan.describe()})." if changes else None


def forced_note(plan: MemoryPlan) -> str:
    """One line on a plan that does not fit and is followed all the same."""
    return (
        f"It exceeds what {plan.machine.name} has for it by {_gb(-plan.free_bytes)} GB: "
        f"{plan.describe()}. Loaded by force; it may be slow, and the system may end it."
    )


def _plan(
    config: ModelConfig, weights: int, machine: Machine, context: int, bits: int, chunk: int
) -> MemoryPlan:
    return MemoryPlan(
        machine=machine,
        context_tokens=context,
        kv_bits=bits,
        chunk_tokens=chunk,
        weight_bytes=weights,
        kv_bytes=kv_bytes(config, context, bits),
        workspace_bytes=pass_bytes(config, machine.backend, min(chunk, context), context, bits),
        reserve_bytes=reserve_bytes(machine)
        + kept_bytes(token_kv_bytes(config, bits) * STEP_TOKENS, config.vocab_size),
    )


def _gb(nbytes: int) -> str:
    return f"{nbytes / 1e9:.2f}"
