"""A real program in a pseudo-terminal, and the screen that a person would see."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pexpect
import pyte

ROOT = Path(__file__).parent.parent
CHAT = (sys.executable, "-m", "mlx_magistral", "chat")


class Terminal:
    """Runs a program, by default ``mlx-magistral chat``, and draws its output on a screen."""

    def __init__(
        self,
        home: Path,
        *flags: str,
        program: Sequence[str] = CHAT,
        columns: int = 80,
        lines: int = 24,
        **environment: str,
    ) -> None:
        self.raw = ""
        self._screen = pyte.HistoryScreen(columns, lines, history=2000, ratio=0.5)
        self._screen.write_process_input = self.type  # it asks where the cursor is
        self._stream = pyte.Stream(self._screen)
        variables = {
            key: value
            for key, value in os.environ.items()
            if key not in ("NO_COLOR", "COLUMNS", "LINES", "SSH_CONNECTION")
        }
        self._process = pexpect.spawn(
            program[0],
            [*program[1:], *flags],
            dimensions=(lines, columns),
            encoding="utf-8",
            codec_errors="replace",
            # A shell lets what it starts in the background, these tests perhaps, ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            env={
                **variables,
                "PYTHONPATH": f"{ROOT}:{ROOT / 'convert'}",
                "TERM": "xterm-256color",
                "MLX_MAGISTRAL_DATA": str(home / "data"),
                "MLX_MAGISTRAL_CACHE": str(home / "cache"),
                **environment,
            },
        )
        self._process.delaybeforesend = None

    @property
    def shown(self) -> str:
        """The lines on the screen, without what has scrolled away."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def everything(self) -> str:
        """What has scrolled away and what is on the screen."""
        columns = self._screen.columns
        above = [
            "".join(row[column].data for column in range(columns)).rstrip()
            for row in self._screen.history.top
        ]
        return "\n".join([*above, self.shown])

    def type(self, keys: str) -> None:
        self._process.send(keys)

    def wait(self, wanted: str | Callable[[str], bool], timeout: float = 90) -> str:
        """Read until the whole screen, scrolled lines too, holds the text or satisfies."""
        holds = wanted if callable(wanted) else lambda text: wanted in text
        end = time.monotonic() + timeout
        while not holds(self.everything):
            left = end - time.monotonic()
            assert left > 0, f"never came: {wanted}\n{self.everything}"
            self._read(left)
        return self.everything

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size, as a person who drags its corner."""
        self._screen.resize(lines, columns)
        self._process.setwinsize(lines, columns)

    def wait_for_prompt(self) -> str:
        """Until an empty prompt is the last thing above the toolbar."""
        return self.wait(lambda text: re.search(r"^>$", self.shown, re.MULTILINE) is not None)

    def end(self, timeout: float = 180) -> int:
        """Read until the program ends; returns its exit code."""
        end = time.monotonic() + timeout
        while self._read(max(0.0, end - time.monotonic())):
            assert time.monotonic() < end, f"never ended:\n{self.everything}"
        self._process.close()
        return self._process.exitstatus if self._process.exitstatus is not None else -1

    def kill(self) -> None:
        self._process.close(force=True)

    def _read(self, timeout: float) -> bool:
        try:
            text = self._process.read_nonblocking(65536, timeout)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += text
        self._stream.feed(text)
        return True
