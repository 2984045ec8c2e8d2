"""Running one command with its input, output and time bounded, and nothing of it left after."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_PIECE_BYTES = 1 << 16
_STDERR_BYTES = 4096
# Between two looks at the memory: limits bound each process, and none bounds all of them.
_MEMORY_EVERY_S = 0.25


class Ending(StrEnum):
    """How a command ended."""

    EXITED = "exited"
    TIME = "time"
    OUTPUT = "output"
    MEMORY = "memory"


@dataclass(frozen=True)
class Ran:
    """``code`` is that of the process; ``stderr`` is the end of what it wrote there."""

    ending: Ending
    code: int
    stdout: bytes
    stderr: bytes
    seconds: float


def supervise(
    command: Sequence[str],
    data: bytes,
    *,
    seconds: float,
    output_bytes: int,
    memory_bytes: int,
) -> Ran:
    """Run a command in a session of its own with ``data`` as its input.

    It is killed after ``seconds``, or ``output_bytes``, or where what it and its children hold
    in memory is above ``memory_bytes``; its environment is empty but for what Python needs to read
    UTF-8.
    """
    started = time.monotonic()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0"},
    ) as process:
        streams = _Streams(process, data, output_bytes)
        try:
            ending = _wait(process, streams, started + seconds, memory_bytes)
        finally:
            # Also where it has exited: what it has started is in its session.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            code = process.wait()
            streams.close()
    return Ran(
        ending, code, bytes(streams.stdout), bytes(streams.stderr), time.monotonic() - started
    )


def _wait(
    process: "subprocess.Popen[bytes]",
    streams: "_Streams",
    deadline: float,
    memory_bytes: int,
) -> Ending:
    looked = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= deadline:
            return Ending.TIME
        if streams.is_over:
            return Ending.OUTPUT
        has_exited = process.poll() is not None
        moved = streams.move(min(0.05, deadline - now) if not has_exited else 0.0)
        # Others may hold its pipes open; what it wrote itself is in them by now.
        if has_exited and not moved:
            return Ending.OUTPUT if streams.is_over else Ending.EXITED
        if now - looked >= _MEMORY_EVERY_S:
            looked = now
            if resident_bytes(process.pid) > memory_bytes:
                return Ending.MEMORY


def resident_bytes(process: int) -> int:
    """Of a process and all that come of it, by ``ps``, which Linux and a Mac have."""
    found = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,rss="], capture_output=True, text=True, check=False
    )
    rows = [tuple(map(int, line.split())) for line in found.stdout.splitlines()]
    family, total = {process}, 0
    # A child may stand before its parent in the list.
    for _ in range(8):
        size = len(family)
        family |= {pid for pid, parent, _ in rows if parent in family}
        if len(family) == size:
            break
    for pid, _, kilobytes in rows:
        total += kilobytes * 1024 if pid in family else 0
    return total


class _Streams:
    """A process's pipes, none of which is ever waited for alone."""

    def __init__(self, process: "subprocess.Popen[bytes]", data: bytes, most: int) -> None:
        assert process.stdin and process.stdout and process.stderr
        self.stdout, self.stderr = bytearray(), bytearray()
        self.is_over = False
        self._most = most
        self._data = memoryview(data)
        self._process = process
        self._selector = selectors.DefaultSelector()
        for stream in (process.stdin, process.stdout, process.stderr):
            os.set_blocking(stream.fileno(), False)
        self._selector.register(process.stdin, selectors.EVENT_WRITE)
        self._selector.register(process.stdout, selectors.EVENT_READ)
        self._selector.register(process.stderr, selectors.EVENT_READ)

    def move(self, seconds: float) -> bool:
        """Write and read what can be; whether anything was read."""
        if not self._selector.get_map():
            # All closed: only its end is waited for.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            return False
        moved = False
        for key, _ in self._selector.select(seconds):
            stream = key.fileobj
            if stream is self._process.stdin:
                self._write()
            elif self._read(stream, self.stdout if stream is self._process.stdout else self.stderr):
                moved = True
        return moved

    def close(self) -> None:
        self._selector.close()

    def _write(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            self._data = self._data[os.write(stdin.fileno(), self._data[:_PIECE_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:  # It reads no more.
            self._data = memoryview(b"")
        if not self._data:
            self._selector.unregister(stdin)
            with contextlib.suppress(OSError):
                stdin.close()

    def _read(self, stream: object, into: bytearray) -> bool:
        try:
            piece = os.read(stream.fileno(), _PIECE_BYTES)  # type: ignore[attr-defined]
        except BlockingIOError:
            return False
        if not piece:
            self._selector.unregister(stream)  # type: ignore[arg-type]
            return False
        into += piece
        if into is self.stderr:
            del self.stderr[:-_STDERR_BYTES]
        elif len(into) > self._most:
            self.is_over = True
        return True
