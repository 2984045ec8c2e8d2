"""The block to paste into an issue: what was checked, on which machine, with which versions."""

import platform
from collections.abc import Iterator
from importlib import metadata

from mlx_magistral.memory.machine import this_machine
from mlx_magistral.selftest.line import Line, State
from mlx_magistral.version import __version__

_PACKAGES = ("mlx", "mistral-common", "llguidance", "mlx-lm")
_WIDTH = len(State.DIFFERS) + 2
_FENCE = "```"


def first_line() -> str:
    """What the block begins with."""
    return f"{_FENCE}text\nmlx-magistral {__version__} selftest"


def shown(line: Line) -> str:
    """One check."""
    state = "GPU" if line.state is State.GPU else line.state
    return f"{state:{_WIDTH}}{line.name}: {line.figure}"


def last_lines(lines: list[Line], seconds: float) -> Iterator[str]:
    """The sum, the machine and the versions, and the end of the block."""
    counts = {state: sum(line.state is state for line in lines) for state in State}
    parts = [f"{counts[State.OK]} ok, {counts[State.DIFFERS]} differ"]
    if counts[State.GPU]:
        parts.append(f"{counts[State.GPU]} lines that a Mac would add")
    yield f"{', '.join(parts)}; {seconds:.0f} s"
    machine = this_machine()
    system = f"{platform.system()} {platform.mac_ver()[0] or platform.release()}"
    yield (
        f"{machine.name} ({platform.machine()}), {machine.limit_bytes / 1e9:.1f} GB for models, "
        f"{machine.backend.value}; {system}; Python {platform.python_version()}"
    )
    yield ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    yield _FENCE


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
