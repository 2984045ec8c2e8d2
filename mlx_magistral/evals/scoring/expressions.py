"""Expressions judged by math-verify, in a process of its own.

It reads LaTeX well and has habits that would make figures wrong: without a box it takes a number
from the prose, it reads 1\\,234 as 235 and (1,2) as an interval, it takes 204 and 204 % for the
same, powers of powers keep it busy for seconds, and it works on a main thread alone. So it is given
a single box's content, only where numbers.py and the plain text have not decided, and may be
killed. Its other reader, of plain expressions, hands them to Python's eval: it is never asked.
"""

import json
import selectors
import subprocess
import sys
import threading
from importlib.util import find_spec
from typing import Self

from mlx_magistral.errors import MissingExtraError

# For one comparison: longer ones are not equal in any way that somebody wrote down.
_SECONDS = 5.0
_START_S = 30.0
# A power can be larger than any memory; a Mac does not hold this, and there the time does.
_MEMORY_BYTES = 2 << 30
# Runs in the process: a comparison a line, the verdict back.
_WORKER = f"""
import json, logging, resource, sys
if sys.platform == "linux":
    resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY_BYTES}, {_MEMORY_BYTES}))
logging.disable(logging.CRITICAL)
from math_verify import LatexExtractionConfig, parse, verify
settings = [LatexExtractionConfig(boxed_match_priority=0)]
print("ready", flush=True)
for line in sys.stdin:
    wanted, found = json.loads(line)
    read = [
        parse("$" + text + "$", settings, fallback_mode="no_fallback", parsing_timeout=3)
        for text in (wanted, found)
    ]
    is_read = all(read)
    same = is_read and verify(read[0], read[1], timeout_seconds=3, strict=True)
    print(json.dumps([bool(is_read), bool(same)]), flush=True)
"""


def require_math_verify() -> None:
    """Raise MissingExtraError where it is not installed."""
    if find_spec("math_verify") is None:
        raise MissingExtraError("Answers that are expressions", "eval")


class ExpressionJudge:
    """One worker, started when it is needed and again after it was killed."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._worker: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def same(self, wanted: str, found: str) -> bool | None:
        """Whether two expressions are equal; None where one cannot be read or time is up."""
        with self._lock:
            return self._ask(wanted, found)

    def _ask(self, wanted: str, found: str) -> bool | None:
        worker = self._worker or self._start()
        assert worker.stdin is not None
        try:
            worker.stdin.write(json.dumps([wanted, found]) + "\n")
            worker.stdin.flush()
            answer = _read_line(worker, self._seconds)
        except OSError:
            answer = ""
        if not answer:
            self.close()
            return None
        is_read, is_same = json.loads(answer)
        return bool(is_same) if is_read else None

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()
            self._worker = None

    def _start(self) -> "subprocess.Popen[str]":
        self._worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        _read_line(self._worker, _START_S)
        return self._worker


def _read_line(worker: "subprocess.Popen[str]", seconds: float) -> str:
    """The next line, "" where none comes in time: nothing else is ever in the pipe."""
    assert worker.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(worker.stdout, selectors.EVENT_READ)
        return worker.stdout.readline() if selector.select(seconds) else ""
