"""Numbers that macOS tells by name, without starting a program for them."""

import ctypes
import sys
from functools import cache

# What the GPU may wire, in MiB; 0 is the system's own choice. Set by hand, until the next restart.
WIRED_LIMIT_MB = "iogpu.wired_limit_mb"
MEMORY_PRESSURE = "kern.memorystatus_vm_pressure_level"
# Percent of the memory that programs can have, as `memory_pressure` prints it.
MEMORY_LEVEL, MEMORY_BYTES = "kern.memorystatus_level", "hw.memsize"


def system_number(name: str) -> int | None:
    """The value of a sysctl of 32 or 64 bits; None where this system has none of the name."""
    library = _library()
    if library is None:
        return None
    value = ctypes.c_int64(0)
    size = ctypes.c_size_t(ctypes.sizeof(value))
    if library.sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0):
        return None
    return value.value


@cache
def _library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "darwin" else None
