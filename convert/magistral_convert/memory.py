"""What this process has used of the machine, as the system itself counts it."""

import resource
import sys


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far, in bytes, as /usr/bin/time reports it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # The same field is in kB on Linux and in bytes on macOS.
    return peak if sys.platform == "darwin" else peak * 1024
