"""One recommendation for a machine: which bits, how much context, and what has to be set for it.

Arithmetic on sizes, all of it. The choices are those of docs/converting.md, best first; 16 bits are
none of them, because 8 are as good and twice as fast.
"""

from dataclasses import dataclass, replace

from mlx_magistral.memory.chips import bandwidth
from mlx_magistral.memory.machine import MIB, Machine
from mlx_magistral.memory.plan import (
    LARGEST_LIMIT_SHARE,
    MemoryPlan,
    automatic_kv_bits,
    longest_context,
    make_plan,
    wired_limit_mb,
)
from mlx_magistral.memory.sizes import WEIGHT_GROUP, average_bytes, weight_bytes
from mlx_magistral.model.cache import STEP_TOKENS
from mlx_magistral.model.config import DEFAULT_CONTEXT, ModelConfig

# Tokens of context that decide: the recommended length; what makes more bits worth a shorter one;
# and the least that fewer than 4 bits are worth.
_LONG, _SHORT, _LEAST = DEFAULT_CONTEXT, 16_384, 8_192
_FEW_BITS = 4.0
_WANTED = ((_LONG, _FEW_BITS), (_SHORT, _FEW_BITS), (_SHORT, 0.0), (_LEAST, 0.0))
# Of the memory: beyond it a word is due, because what macOS and programs need is not ours to take.
_RISKY_SHARE = 0.8


@dataclass(frozen=True)
class Choice:
    """Weights one may have, and the options of convert that make them."""

    name: str
    bits_per_weight: float
    nbytes: int
    options: str = ""


@dataclass(frozen=True)
class Recommendation:
    """A choice with its plan; ``wired_limit_mb`` is the limit to set first, None where none is."""

    choice: Choice
    plan: MemoryPlan  # of the whole context
    tokens_per_second: float | None  # at most, while the context is short
    wired_limit_mb: int | None = None

    @property
    def system_bytes(self) -> int:
        """What the limit to set leaves for everything else."""
        return self.plan.machine.memory_bytes - self.plan.machine.limit_bytes

    @property
    def is_risky(self) -> bool:
        """Whether the limit to set leaves the system little."""
        machine = self.plan.machine
        return machine.limit_bytes > _RISKY_SHARE * machine.memory_bytes


def choices(config: ModelConfig) -> list[Choice]:
    """What convert makes of a model, best first."""
    return [
        uniform_choice(config, 8),
        *(uniform_choice(config, bits, "--recipe calibrated") for bits in (6, 5)),
        _mixed_choice(config, 4.7),
        uniform_choice(config, 4, "--recipe calibrated"),
        _mixed_choice(config, 3.6),
    ]


def uniform_choice(config: ModelConfig, bits: int, recipe: str = "") -> Choice:
    """Every matrix in so many bits."""
    options = f"--bits {bits} {recipe}".rstrip()
    stored_bits = 16 if bits == 16 else bits + 32 / WEIGHT_GROUP
    return Choice(f"{bits} bits", stored_bits, weight_bytes(config, bits), options)


def stored_choice(config: ModelConfig, nbytes: int) -> Choice:
    """A model as it is, in so many bytes."""
    return Choice("as stored", 8 * nbytes / average_bytes(config, 8), nbytes)


def recommend(
    config: ModelConfig, machine: Machine, among: list[Choice], chip: str | None = None
) -> Recommendation | None:
    """The best of ``among`` (best first) for a machine; None where none fits, whatever is set.

    The most bits that leave room for the recommended context; where those would be under 4, the
    most that leave room for a shorter one. Where nothing fits the limit that macOS sets, the limit
    that would do is part of it.
    """
    chip = chip or machine.name
    found = _best(config, machine, among)
    if found is not None:
        return _with_context(config, machine, found, chip)
    largest = int(machine.memory_bytes * LARGEST_LIMIT_SHARE)
    if machine.limit_bytes >= largest:
        return None
    found = _best(config, replace(machine, limit_bytes=largest), among)
    if found is None:
        return None
    tokens, kv_bits = _within(config, _SHORT), automatic_kv_bits(config)[-1]
    plan = make_plan(config, found.nbytes, machine, tokens, kv_bits=kv_bits)
    limit = wired_limit_mb(plan) or largest // MIB
    raised = replace(machine, limit_bytes=limit * MIB)
    return replace(_with_context(config, raised, found, chip), wired_limit_mb=limit)


def _mixed_choice(config: ModelConfig, bits: float) -> Choice:
    options = f"--recipe calibrated --mix auto --bits-per-weight {bits:g}"
    return Choice(f"{bits:g} bits", bits, average_bytes(config, bits), options)


def _best(config: ModelConfig, machine: Machine, among: list[Choice]) -> Choice | None:
    fitting = {choice: _longest(config, machine, choice) for choice in among}
    for enough, least_bits in _WANTED:
        for choice, tokens in fitting.items():
            if tokens >= _within(config, enough) and choice.bits_per_weight >= least_bits:
                return choice
    return None


def _longest(config: ModelConfig, machine: Machine, choice: Choice) -> int:
    """The longest context with any KV width that is taken without being asked for."""
    ceiling = _within(config, _LONG)
    return max(
        longest_context(config, choice.nbytes, machine, bits, ceiling)
        for bits in automatic_kv_bits(config)
    )


def _with_context(
    config: ModelConfig, machine: Machine, choice: Choice, chip: str
) -> Recommendation:
    """The most tokens in 16-bit KV, in 8 bits where those are fewer than the recommended."""
    ceiling = config.max_position_embeddings or DEFAULT_CONTEXT
    for kv_bits in automatic_kv_bits(config):
        tokens = longest_context(config, choice.nbytes, machine, kv_bits, ceiling)
        if tokens >= _within(config, _LONG):
            break
    plan = make_plan(config, choice.nbytes, machine, tokens, kv_bits=kv_bits)
    speed = bandwidth(chip)
    return Recommendation(choice, plan, None if speed is None else speed / choice.nbytes)


def _within(config: ModelConfig, tokens: int) -> int:
    """So many tokens, or the model's ceiling, in the steps that a cache grows by."""
    return min(tokens, (config.max_position_embeddings or tokens) // STEP_TOKENS * STEP_TOKENS)
