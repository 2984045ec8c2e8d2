"""What a ring says before a model runs on it: the same model on all, how fast it is, the plan."""

import time
from dataclasses import dataclass

import mlx.core as mx

from mlx_magistral.cluster.leader import Leader
from mlx_magistral.cluster.planning import plan_ranks
from mlx_magistral.cluster.reader import shared_name
from mlx_magistral.cluster.share import Split, make_shares
from mlx_magistral.hub.resolve import require_local
from mlx_magistral.memory.plan import MemoryPlan
from mlx_magistral.memory.prefixes.fingerprint import weights_fingerprint
from mlx_magistral.memory.runtime import MemoryOptions
from mlx_magistral.model.checkpoint import Checkpoint, open_checkpoint

# Of a token, and of a prompt's pass: 2,048 rows of 5,120 numbers in 16 bits take 21 MB.
SMALL_BYTES, LARGE_BYTES = 10_240, 16 << 20
_SMALL_COUNT, _LARGE_COUNT = 200, 8


@dataclass(frozen=True)
class LinkSpeed:
    """Median seconds of an all-reduce of SMALL_BYTES, and bytes a second of LARGE_BYTES."""

    latency_s: float
    bytes_per_s: float


def open_same(leader: Leader, model: str) -> Checkpoint:
    """The model, which every rank has with the same content.

    Raises HubError or CheckpointError for one that is not here; a rank that lacks it, or has
    another, ends this process with its name and what to do.
    """
    checkpoint = open_checkpoint(require_local(model))
    leader.tell(
        {
            "op": "probe",
            "model": shared_name(checkpoint.folder),
            "fingerprint": weights_fingerprint(checkpoint, by_date=False),
        }
    )
    leader.answers("probed")
    return checkpoint


def measure_link(leader: Leader) -> LinkSpeed:
    """Time all-reduces of both sizes, after a few that are not counted."""
    small = _timed(leader, SMALL_BYTES, _SMALL_COUNT)
    large = _timed(leader, LARGE_BYTES, _LARGE_COUNT)
    return LinkSpeed(small, LARGE_BYTES / large)


def rank_plans(leader: Leader, checkpoint: Checkpoint, split: Split) -> list[MemoryPlan]:
    """Every rank's memory plan. Raises UsageError or MemoryPlanError."""
    machines = leader.machines()
    limits = [machine.limit_bytes for machine in machines]
    shares = make_shares(checkpoint, leader.size, split, limits)
    return plan_ranks(checkpoint, shares, machines, leader.names, MemoryOptions())


def _timed(leader: Leader, nbytes: int, count: int) -> float:
    leader.tell({"op": "measure", "bytes": nbytes, "count": count})
    return sorted(add_up_seconds(leader, nbytes, count))[count // 2]


def add_up_seconds(leader: Leader, nbytes: int, count: int) -> list[float]:
    """Seconds of each of so many all-reduces, on the leader."""
    seconds = []
    for _ in range(count):
        x = mx.zeros(nbytes // 2, mx.bfloat16)
        mx.eval(x)
        started = time.perf_counter()
        mx.eval(leader.links.add_up(x))
        seconds.append(time.perf_counter() - started)
    return seconds
