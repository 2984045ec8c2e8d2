"""A real program in a pseudo-terminal, recorded as screens with the seconds they came at."""

import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pyte

ROOT = Path(__file__).parents[2]
# pyte knows no dim text; it gets a colour of its own, and the drawing makes dim of that again.
_DIM = re.compile(r"\x1b\[2m")
DIM_COLOUR = "brightblack"
# Of slow motion: how long the program runs, and how long it is halted.
_RUN_S, _HALT_S = 0.004, 0.1


@dataclass(frozen=True)
class Span:
    """Text of one look: ``colour`` is pyte's name or RGB."""

    text: str
    colour: str
    is_bold: bool


Row = tuple[Span, ...]


@dataclass(frozen=True)
class Frame:
    """A screen and when it came."""

    at: float
    rows: tuple[Row, ...]

    @property
    def text(self) -> str:
        """The rows without their looks."""
        return "\n".join("".join(span.text for span in row).rstrip() for row in self.rows)


class Recording:
    """Runs ``mlx-magistral`` with these arguments and keeps every screen that differs."""

    def __init__(self, home: Path, arguments: list[str], columns: int, lines: int) -> None:
        self.frames: list[Frame] = []
        self._screen = pyte.Screen(columns, lines)
        self._screen.write_process_input = self.type
        self._stream = pyte.Stream(self._screen)
        self._start = time.monotonic()
        kept = ("PATH", "LANG", "LC_ALL")
        self._process = pexpect.spawn(
            sys.executable,
            ["-m", "mlx_magistral", *arguments],
            dimensions=(lines, columns),
            encoding="utf-8",
            codec_errors="replace",
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            env={
                **{name: os.environ[name] for name in kept if name in os.environ},
                "HOME": str(home),
                "TERM": "xterm-256color",
                "PYTHONPATH": f"{ROOT}:{ROOT / 'convert'}",
                "MLX_MAGISTRAL_CONFIG": str(home / "config.toml"),
                "MLX_MAGISTRAL_CACHE": str(home / "cache"),
                "MLX_MAGISTRAL_DATA": str(home / "data"),
            },
        )
        self._process.delaybeforesend = None

    def type(self, keys: str) -> None:
        """Send keys, all at once."""
        self._process.send(keys)

    def type_slowly(self, text: str, pause_s: float = 0.06) -> None:
        """As a person does."""
        for letter in text:
            self.type(letter)
            self.watch(pause_s)

    def watch(self, seconds: float) -> None:
        """Keep what comes for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._read(left)

    def wait(
        self, pattern: str, *, is_slow: bool = False, then: str = "", timeout_s: float = 120.0
    ) -> None:
        """Until the screen shows it.

        ``is_slow`` lets the program run for a moment at a time: a small model thinks too fast to be
        watched, and halted in between it has a large one's pace. ``then`` are keys that it finds
        when it goes on.
        """
        end = time.monotonic() + timeout_s
        while not re.search(pattern, self.shown):
            if time.monotonic() > end:
                raise SystemExit(f"error: {pattern!r} never came:\n{self.shown}")
            if is_slow:
                self._process.kill(signal.SIGCONT)
                self._read(_RUN_S)
                self._process.kill(signal.SIGSTOP)
                time.sleep(_HALT_S)
            else:
                self._read(0.5)
        self.type(then)
        self._process.kill(signal.SIGCONT)

    @property
    def shown(self) -> str:
        """The screen's text."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def end(self) -> None:
        """Ctrl-D, and the last screens."""
        self.type("\x04")
        self.watch(1.0)
        self._process.close(force=True)

    def _read(self, timeout_s: float) -> bool:
        try:
            text = self._process.read_nonblocking(65536, timeout_s)
        except pexpect.TIMEOUT:
            return False
        except pexpect.EOF:
            return False
        self._stream.feed(_DIM.sub("\x1b[90m", text))
        frame = Frame(time.monotonic() - self._start, self._rows())
        if not self.frames or self.frames[-1].rows != frame.rows:
            self.frames.append(frame)
        return True

    def _rows(self) -> tuple[Row, ...]:
        rows = []
        for number in range(self._screen.lines):
            spans: list[Span] = []
            cells = self._screen.buffer[number]
            for column in range(self._screen.columns):
                cell = cells[column]
                look = (cell.fg, cell.bold)
                if spans and (spans[-1].colour, spans[-1].is_bold) == look:
                    spans[-1] = Span(spans[-1].text + cell.data, *look)
                else:
                    spans.append(Span(cell.data, *look))
            rows.append(_trimmed(spans))
        return tuple(rows)


def _trimmed(spans: list[Span]) -> Row:
    kept = list(spans)
    while kept and not kept[-1].text.strip():
        kept.pop()
    if kept:
        last = kept[-1]
        kept[-1] = Span(last.text.rstrip(), last.colour, last.is_bold)
    return tuple(kept)
