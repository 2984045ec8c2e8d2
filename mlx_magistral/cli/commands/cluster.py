"""``mlx-magistral cluster``: several Macs, looked at before a model runs on them."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.options import debug_option, model_option
from mlx_magistral.cli.ranks import lead, run_program
from mlx_magistral.errors import ClusterError

if TYPE_CHECKING:
    from mlx_magistral.cluster.call import Host
    from mlx_magistral.cluster.checking import LinkSpeed
    from mlx_magistral.cluster.leader import Leader
    from mlx_magistral.memory.plan import MemoryPlan
    from mlx_magistral.model.checkpoint import Checkpoint

_REACH_S = 20.0


@click.group()
def command() -> None:
    """Look at several Macs before a model runs on them.

    \b
      mlx-magistral cluster check hosts.json -m magistral-8bit
    """


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@model_option
@click.option(
    "split",
    "--split",
    type=click.Choice(["heads", "layers"]),
    default="heads",
    show_default=True,
    help="What is divided, for the plan.",
)
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@debug_option
def check(file: Path, model: str | None, split: str, as_json: bool) -> int:
    """Check the Macs of FILE, a hostfile of mlx.launch, and end in "ready" or what to mend.

    Each is reached by ssh, joins the ring, and has to have the same versions and the same model.
    Then an all-reduce is timed, and every rank's memory planned; what is free at the moment is
    shown beside it.

    \b
      mlx-magistral cluster check hosts.json -m magistral-8bit
    """
    from mlx_magistral.cluster.hosts import read_hostfile

    leader = lead()
    if leader is not None:
        _report(leader, model, split, as_json)
        return 0
    hosts = read_hostfile(file)
    for host in hosts.hosts[1:]:
        _reach(host)
    return run_program(hosts)


def _reach(host: "Host") -> None:
    """Raise ClusterError with what ssh or the other Python says, and what to do."""
    from mlx_magistral.cluster.hosts import is_here
    from mlx_magistral.cluster.launch import SSH

    if is_here(host.address):
        return
    question = f"{sys.executable} -P -c 'import mlx_magistral.version'"
    try:
        found = subprocess.run(
            [*SSH, host.name, question],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_REACH_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{host.name} does not answer ssh within {_REACH_S:.0f} s.") from error
    said = (found.stderr.strip().splitlines() or [f"ended with {found.returncode}"])[-1]
    if found.returncode == 255:
        raise ClusterError(
            f"{host.name} cannot be reached: {said}. Turn on Remote Login there, and let "
            f"`ssh {host.name} true` work without a password."
        )
    if found.returncode:
        raise ClusterError(
            f"{host.name} has no mlx-magistral at {sys.executable}: {said}. Install it there in "
            "the same version, at the same path."
        )


def _report(leader: "Leader", model: str | None, split: str, as_json: bool) -> None:
    from mlx_magistral.cluster.checking import measure_link, open_same, rank_plans
    from mlx_magistral.cluster.hello import versions
    from mlx_magistral.cluster.share import Split
    from mlx_magistral.hub.resolve import default_model

    machines = leader.machines()
    name = model or default_model()
    checkpoint = open_same(leader, name)
    speed = measure_link(leader)
    plans = rank_plans(leader, checkpoint, Split(split))
    if as_json:
        echo_json(_as_dict(leader, name, speed, plans))
        return
    for rank, (machine, free) in enumerate(zip(machines, leader.free_bytes(), strict=True)):
        limit = f"{machine.limit_bytes / 1e9:.1f} GB for models"
        at_once = "" if free is None else f", {free / 1e9:.1f} GB free at the moment"
        echo(f"{leader.names[rank]} (rank {rank}): {machine.name}, {limit}{at_once}", 2)
    same = ", ".join(f"{key} {value}" for key, value in versions().items())
    echo(f"versions: {same.replace('version', 'mlx-magistral')}, on all")
    echo(f"model: {name}, the same on all")
    echo(_link(leader, checkpoint, speed, split))
    for rank, plan in enumerate(plans):
        echo(f"plan of rank {rank}: {plan.describe()}", 2)
    echo("ready")


def _link(leader: "Leader", checkpoint: "Checkpoint", speed: "LinkSpeed", split: str) -> str:
    text = (
        f"link: {leader.backend}, an all-reduce of 10 KB takes {speed.latency_s * 1e3:.2f} ms, of "
        f"16 MB {speed.bytes_per_s / 1e9:.2f} GB/s"
    )
    if split == "layers":
        return text
    count = 2 * checkpoint.config.n_layers + 2
    return f"{text}; {count} a token: {count * speed.latency_s * 1e3:.1f} ms"


def _as_dict(
    leader: "Leader", model: str, speed: "LinkSpeed", plans: list["MemoryPlan"]
) -> dict[str, Any]:
    return {
        "model": model,
        "backend": leader.backend,
        "latency_s": speed.latency_s,
        "bytes_per_s": speed.bytes_per_s,
        "ranks": [
            {
                "host": name,
                "weight_bytes": plan.weight_bytes,
                "peak_bytes": plan.peak_bytes,
                "limit_bytes": plan.machine.limit_bytes,
                "free_bytes": free,
            }
            for name, plan, free in zip(leader.names, plans, leader.free_bytes(), strict=True)
        ],
        "ready": True,
    }
