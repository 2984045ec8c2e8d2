"""How short of memory the whole machine is, as the system itself says, and when that ends a reply.

macOS keeps a level; Linux tells how much of the time programs stood still for want of memory
(PSI). A thread of its own reads it once a second while replies are made, so no decode loop waits.
"""

import threading
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from types import TracebackType

from mlx_magistral.memory.sysctl import MEMORY_PRESSURE, system_number

_PSI_FILE = Path("/proc/pressure/memory")
# Per cent of the latest ten seconds: some program stood still, and all of them did.
_SOME_STALLED, _ALL_STALLED = 20.0, 20.0
_INTERVAL_S = 1.0
# A reply may go on for so long while it is critical: what was given back takes a moment to help.
_PATIENCE_S = 5.0


class Pressure(IntEnum):
    """The three levels that macOS has."""

    NORMAL = 0
    WARN = 1
    CRITICAL = 2


_LEVELS_OF_MACOS = {2: Pressure.WARN, 4: Pressure.CRITICAL}


def read_pressure(psi_file: Path = _PSI_FILE) -> Pressure:
    """The level now; NORMAL where this system tells of none."""
    level = system_number(MEMORY_PRESSURE)
    if level is not None:
        return _LEVELS_OF_MACOS.get(level, Pressure.NORMAL)
    try:
        lines = psi_file.read_text("ascii").splitlines()
    except OSError:  # another system, or a container that hides it
        return Pressure.NORMAL
    stalled = {kind: _share(rest) for kind, _, rest in (line.partition(" ") for line in lines)}
    if stalled.get("full", 0.0) >= _ALL_STALLED:
        return Pressure.CRITICAL
    return Pressure.WARN if stalled.get("some", 0.0) >= _SOME_STALLED else Pressure.NORMAL


def _share(text: str) -> float:
    """``avg10=1.23 avg60=...`` -> 1.23."""
    return float(text.removeprefix("avg10=").partition(" ")[0])


class PressureWatch:
    """The latest level; entered while replies are made, by as many as like at once."""

    def __init__(
        self,
        read: Callable[[], Pressure] = read_pressure,
        *,
        interval_s: float = _INTERVAL_S,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._read = read
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._level = Pressure.NORMAL
        self._critical_since: float | None = None
        self._lock = threading.Lock()  # guards the two below
        self._users = 0
        self._stop = threading.Event()

    @property
    def level(self) -> Pressure:
        """As of at most a second ago, while anyone watches."""
        return self._level

    @property
    def must_end(self) -> bool:
        """Whether it stayed critical although everything that can be spared was given back."""
        since = self._critical_since
        return since is not None and time.monotonic() - since >= self._patience_s

    def __enter__(self) -> "PressureWatch":
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._look()
                self._stop = threading.Event()
                threading.Thread(
                    target=self._watch, args=(self._stop,), name="memory-pressure", daemon=True
                ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._stop.set()

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval_s):
            self._look()

    def _look(self) -> None:
        self._level = self._read()
        if self._level is not Pressure.CRITICAL:
            self._critical_since = None
        elif self._critical_since is None:
            self._critical_since = time.monotonic()
