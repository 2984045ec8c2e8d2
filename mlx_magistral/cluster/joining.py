"""Joining MLX's group of processes: the variables it reads, for as long as it reads them.

``init`` may wait for ever without letting any other thread run, so whoever calls it is a process
that another one watches (launch.py, or mlx.launch).
"""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.cluster.links import Links
from mlx_magistral.errors import ClusterError

RING = "ring"


def join(rank: int, plan: dict[str, Any]) -> Links:
    """Be rank ``rank`` of what ``plan`` (``group_plan``) describes.

    Raises ClusterError with what MLX says, such as a port in use.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hosts.json"
        file.write_text(json.dumps(plan["table"]))
        found = {"MLX_RANK": str(rank)}
        if plan["backend"] == RING:
            found["MLX_HOSTFILE"] = str(file)
        else:
            found |= {"MLX_IBV_DEVICES": str(file), "MLX_JACCL_COORDINATOR": plan["coordinator"]}
        os.environ.update(found)
        try:
            return Links(mx.distributed.init(strict=True, backend=plan["backend"]))
        except RuntimeError as error:
            raise ClusterError(f"rank {rank} cannot join the others: {error}") from error
        finally:
            for name in found:
                os.environ.pop(name, None)


def group_plan(
    backend: str, addresses: Sequence[str], ports: Sequence[int], rdma: Sequence[Sequence[Any]]
) -> dict[str, Any]:
    """What every rank hands to MLX: each one's address and port, or JACCL's devices."""
    places = [f"{address}:{port}" for address, port in zip(addresses, ports, strict=True)]
    if backend == RING:
        return {"backend": backend, "table": [[place] for place in places]}
    return {"backend": backend, "table": [list(each) for each in rdma], "coordinator": places[0]}
