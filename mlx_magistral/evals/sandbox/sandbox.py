"""Sandbox: runs programs that a model wrote, in the first fence that holds on this machine.

A fence is believed when a program that tries to get out of it has failed at everything: reading
and writing a file of ours, reaching a port of ours, and seeing our processes. Where none holds
there is no sandbox.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mlx_magistral.errors import SandboxError
from mlx_magistral.evals.sandbox import fences
from mlx_magistral.evals.sandbox.fences import Fence
from mlx_magistral.evals.sandbox.limits import Limits
from mlx_magistral.evals.sandbox.supervise import Ending, Ran, supervise

_FENCES: dict[str, tuple[Callable[[], Fence], ...]] = {
    "linux": (fences.namespaces, fences.bubblewrap),
    "darwin": (fences.sandbox_exec,),
}
_INSIDE = Path(__file__).with_name("inside.py")
_PROBE = Path(__file__).with_name("probe.py")
# A Mac's first start of an interpreter in a sandbox may take a while.
_PROBE_S = 20.0
_COUNT_S = 2.0
# Building a fence and starting an interpreter in it is not the program's time.
_START_S = 0.5


class Sandbox:
    """Runs one program after another, each in a fence of its own."""

    def __init__(self, fence: Fence, limits: Limits | None = None) -> None:
        self.fence = fence
        self.limits = limits or Limits()
        self._inside = _INSIDE.read_text("utf-8")
        self._counted = -_COUNT_S
        self._count = 0

    def run(self, program: str, data: str, function: str | None = None) -> Ran:
        """Run a Python program with ``data`` as its input, or call a function of it.

        A function's arguments are ``data``, a JSON value a line, and its result is printed as JSON.
        """
        limits = self.limits
        wanted = {
            "AS": limits.memory_bytes,
            # What one thread cannot reach: the clock ends it first, and is what is said.
            "CPU": int(limits.seconds + _START_S) + 2,
            "FSIZE": limits.file_bytes,
            "NOFILE": limits.open_files,
            "NPROC": limits.processes + self._others(),
            "CORE": 0,
        }
        # A Mac counts what every process shares as its own, and bounds nothing by it.
        if sys.platform == "darwin":
            del wanted["AS"]
        command = [fences.interpreter(), "-I", "-S", "-c", self._inside, json.dumps(wanted)]
        command.append("nobody" if self.fence.is_real else "as before")
        text = program.encode("utf-8", "surrogatepass")
        header = json.dumps({"bytes": len(text), "function": function}).encode()
        return supervise(
            self.fence.wrap(command, limits),
            b"".join([header, b"\n", text, data.encode("utf-8", "surrogatepass")]),
            seconds=limits.seconds + _START_S,
            output_bytes=limits.output_bytes,
            memory_bytes=limits.memory_bytes,
        )

    def describe(self) -> str:
        """One line for whoever starts it."""
        if self.fence.is_real:
            return f"The model's programs run in a sandbox ({self.fence.name})."
        return "The model's programs run WITHOUT A SANDBOX: they may do whatever you may."

    def _others(self) -> int:
        """Processes that count against the limit, counted anew now and then."""
        now = time.monotonic()
        if now - self._counted >= _COUNT_S:
            self._counted, self._count = now, _processes_of_its_user()
        return self._count


def make_sandbox(limits: Limits | None = None) -> Sandbox:
    """One whose fence holds here; raises SandboxError with what was tried and what to install."""
    tried = []
    for make in _FENCES.get(sys.platform, ()):
        sandbox = Sandbox(make(), limits)
        problem = leak(sandbox)
        if problem is None:
            return sandbox
        tried.append(f"{sandbox.fence.name}: {problem}")
    advice = (
        "Install bubblewrap (apt install bubblewrap)" if sys.platform == "linux" else "Use Linux"
    )
    raise SandboxError(
        f"Programs of a model run in a sandbox alone, and none holds here ({'; '.join(tried)}). "
        f"{advice}, or take the risk with --unsafe-no-sandbox."
    )


def unsafe_sandbox(limits: Limits | None = None) -> Sandbox:
    """Limits without a fence: programs may read, write and send whatever you may."""
    return Sandbox(fences.unfenced(), limits)


def leak(sandbox: Sandbox) -> str | None:
    """What a program in the sandbox can do that it must not; None where it is tight."""
    patient = Sandbox(sandbox.fence, replace(sandbox.limits, seconds=_PROBE_S))
    with tempfile.TemporaryDirectory() as name, socket.socket() as listener:
        # Root's sandbox is nobody's: what anybody may read must be out of reach too.
        os.chmod(name, 0o755)
        secret = Path(name, "secret")
        secret.write_text("a secret")
        secret.chmod(0o666)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        facts = {
            "secret": str(secret),
            "port": listener.getsockname()[1],
            "process": os.getpid(),
            "home": os.path.realpath(Path.home()),
            # An interpreter below the user's home has the way to it there.
            "known": sorted(
                {part for path in fences.shown_paths()[0] for part in Path(path).parts}
            ),
        }
        try:
            ran = patient.run(_PROBE.read_text("utf-8"), json.dumps(facts))
        except OSError as error:
            return f"it is not here ({error.strerror})"
        try:
            done = json.loads(ran.stdout)
        except ValueError:
            done = None
        if ran.ending is not Ending.EXITED or not isinstance(done, list):
            last = ran.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            return f"it does not start ({last or ran.ending.value})"
        if not secret.exists() or secret.read_text() != "a secret":
            done.append("changes files")
    return f"a program in it {', '.join(map(str, done))}" if done else None


def _processes_of_its_user() -> int:
    """Those that count against the limit: of nobody where we are root, else our own."""
    user = 65534 if os.geteuid() == 0 else os.getuid()
    # With threads where ps can show them, which is where they count.
    flags = ["-eLo"] if sys.platform == "linux" else ["-axo"]
    found = subprocess.run(["ps", *flags, "uid="], capture_output=True, text=True, check=False)
    return found.stdout.split().count(str(user))
