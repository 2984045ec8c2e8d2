"""The memory plan of every rank, and the one that rank 0's engine goes by: the tightest."""

from collections.abc import Sequence
from dataclasses import replace

from mlx_magistral.cluster.share import Share
from mlx_magistral.errors import MemoryPlanError
from mlx_magistral.memory.machine import Machine
from mlx_magistral.memory.plan import MemoryPlan
from mlx_magistral.memory.runtime import MemoryOptions, ModelMemory, plan_memory
from mlx_magistral.memory.sizes import token_kv_bytes
from mlx_magistral.model.checkpoint import Checkpoint


def plan_ranks(
    checkpoint: Checkpoint,
    shares: Sequence[Share],
    machines: Sequence[Machine],
    names: Sequence[str],
    options: MemoryOptions,
) -> list[MemoryPlan]:
    """Each rank's plan of its share, all with the KV bits and the chunks of the tightest.

    Raises MemoryPlanError naming a rank that it does not fit.
    """
    plans: list[MemoryPlan] = []
    for share, machine, name in zip(shares, machines, names, strict=True):
        try:
            plans.append(_plan(checkpoint, share, machine, options))
        except MemoryPlanError as error:
            raise MemoryPlanError(f"{name} (rank {share.rank}): {error}") from error
    bits = min(plan.kv_bits for plan in plans)
    if any(plan.kv_bits != bits for plan in plans):
        lowered = replace(options, kv_bits=bits)
        pairs = zip(shares, machines, strict=True)
        plans = [_plan(checkpoint, share, machine, lowered) for share, machine in pairs]
    chunk = min(plan.chunk_tokens for plan in plans)
    return [replace(plan, chunk_tokens=chunk) for plan in plans]


def lead_memory(
    checkpoint: Checkpoint,
    shares: Sequence[Share],
    plans: Sequence[MemoryPlan],
    options: MemoryOptions,
) -> ModelMemory:
    """What rank 0's engine goes by: its own plan, with no more free tokens than any rank has."""
    own = plan_memory(
        shares[0].of(checkpoint), replace(options, kv_bits=plans[0].kv_bits), plans[0].machine
    )
    held = [share.config(checkpoint.config) for share in shares]
    bytes_each = [
        token_kv_bytes(config, plan.kv_bits) for config, plan in zip(held, plans, strict=True)
    ]
    tokens = min(plan.free_bytes / each for plan, each in zip(plans, bytes_each, strict=True))
    surplus = max(own.plan.free_bytes - int(tokens * bytes_each[0]), 0)
    machine = own.plan.machine
    own.plan = replace(
        own.plan,
        chunk_tokens=plans[0].chunk_tokens,
        machine=replace(machine, limit_bytes=machine.limit_bytes - surplus),
    )
    if own.prefixes is not None:
        own.prefixes.ram_bytes = max(min(own.prefixes.ram_bytes, own.plan.free_bytes), 0)
    return own


def _plan(
    checkpoint: Checkpoint, share: Share, machine: Machine, options: MemoryOptions
) -> MemoryPlan:
    held = replace(options, reuse_prefixes=False, wired_bytes=None)
    if not share.is_first:
        held = replace(held, draft_bytes=0, draft_token_bytes=0)
    return plan_memory(share.of(checkpoint), held, machine).plan
