"""Machine: how many bytes MLX may use here, or on a Mac that is only imagined."""

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import mlx.core as mx

from mlx_magistral.memory.sysctl import MEMORY_BYTES, MEMORY_LEVEL, WIRED_LIMIT_MB, system_number
from mlx_magistral.model import device

GIB = 1 << 30
MIB = 1 << 20
# What macOS lets the GPU have, as the recommended working set reported for many Macs shows: 10.7 of
# 16 GiB, 21.3 of 32, 48 of 64, 96 of 128. An assumption, for a simulated Mac alone: on a real one
# the number is asked for.
_SMALL_MAC_SHARE, _LARGE_MAC_SHARE, _LARGE_MAC_BYTES = 2 / 3, 3 / 4, 36 * GIB
# Of the physical memory, where there is no GPU limit: the rest is for everything else that runs.
_CPU_SHARE = 3 / 4


class Backend(Enum):
    """Where MLX computes; the two keep different temporaries. CUDA is planned as Metal is."""

    METAL = "Metal"
    CPU = "CPU"

    @classmethod
    def here(cls) -> "Backend":
        """Where MLX computes in this process."""
        return cls.METAL if device.is_gpu() else cls.CPU


@dataclass(frozen=True)
class Machine:
    """A backend and the bytes that weights, KV cache and temporaries may take together.

    ``memory_bytes`` is all there is, of a Mac; 0 where the limit is no choice of macOS.
    """

    name: str
    backend: Backend
    limit_bytes: int
    memory_bytes: int = 0


def this_machine() -> Machine:
    """The limit of the machine this runs on."""
    if Backend.here() is Backend.METAL:
        info = mx.device_info()
        name = str(info["device_name"])
        if "max_recommended_working_set_size" not in info:  # CUDA tells the size alone
            limit = int(int(info["total_memory"]) * _LARGE_MAC_SHARE)
            return Machine(name, Backend.METAL, limit)
        # What was set by hand counts, also where Metal still recommends less.
        raised = (system_number(WIRED_LIMIT_MB) or 0) * MIB
        limit = raised or int(info["max_recommended_working_set_size"])
        return Machine(name, Backend.METAL, limit, int(info["memory_size"]))
    return Machine("this machine's CPU", Backend.CPU, int(_physical_bytes() * _CPU_SHARE))


def simulated_mac(memory_bytes: int) -> Machine:
    """A Mac with so much memory: two thirds of it for the GPU, three quarters from 36 GiB on."""
    share = _LARGE_MAC_SHARE if memory_bytes >= _LARGE_MAC_BYTES else _SMALL_MAC_SHARE
    name = f"a Mac with {memory_bytes / GIB:g} GB"
    return Machine(name, Backend.METAL, int(memory_bytes * share), memory_bytes)


def free_memory_bytes() -> int | None:
    """What programs can have just now without others being paged out; None where nobody tells.

    Files that the system keeps in memory meanwhile count as free, which they are.
    """
    percent, total = system_number(MEMORY_LEVEL), system_number(MEMORY_BYTES)
    if percent is not None and total is not None:
        return total * percent // 100
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _physical_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
