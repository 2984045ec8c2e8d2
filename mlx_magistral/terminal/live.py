"""LiveRegion: the last lines of a terminal, changed in place; what is above them stays.

Only lines that differ are written again, all at once, so nothing flickers. A line that has left
the window can no longer be reached: it is written for good or not shown.
"""

from collections.abc import Callable, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.text import Text

from mlx_magistral.terminal.size import terminal_size

# The terminal shows what is between these as one frame, where it knows them.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"


class LiveRegion:
    """Draws to one terminal. ``commit`` writes for good, ``draw`` what may still change."""

    def __init__(self, stream: TextIO, size: Callable[[], tuple[int, int]] = terminal_size) -> None:
        self._stream = stream
        self._size = size
        self._shown: list[str] = []
        self._frozen = 0

    @property
    def columns(self) -> int:
        """The width of a line; the last column stays free, since terminals differ in it."""
        return self._size()[0] - 1

    @property
    def window(self) -> int:
        """How many lines can be changed."""
        return max(self._size()[1] - 2, 2)

    def draw(self, lines: Sequence[str], *, can_freeze: bool = False) -> None:
        """Show these lines instead of those drawn before.

        Of more than the window holds the last ones are shown, and with ``can_freeze`` the first
        ones written for good.
        """
        window = self.window
        if can_freeze:
            over = max(len(lines) - self._frozen - window, 0)
            self._replace(lines[self._frozen :], keep=window + over)
            self._frozen += over
            self._shown = self._shown[over:]
        else:
            self._replace(lines, keep=window)

    def commit(self, lines: Sequence[str]) -> None:
        """Write these lines for good in the place of those drawn."""
        self._replace(lines[self._frozen :], keep=len(lines))
        self._shown, self._frozen = [], 0

    def _replace(self, lines: Sequence[str], keep: int) -> None:
        wanted = list(lines[-keep:]) if keep else []
        same = 0
        while same < min(len(wanted), len(self._shown)) and wanted[same] == self._shown[same]:
            same += 1
        if same == len(wanted) == len(self._shown):
            return
        columns = self._size()[0]
        # The window may have become narrower since: a line then takes several rows.
        rows = sum(_rows(line, columns) for line in self._shown[same:])
        up = f"\x1b[{rows}A" if rows else ""
        text = "".join(f"{line}\n" for line in wanted[same:])
        clear = "\r\x1b[J" if self._shown[same:] else ""
        self._stream.write(f"{_BEGIN}{up}{clear}{text}{_END}")
        self._stream.flush()
        self._shown = wanted


def wrap(text: str, columns: int) -> list[str]:
    """Plain text to lines of at most ``columns`` cells; control characters are taken out."""
    lines: list[str] = []
    for line in text.expandtabs(4).split("\n"):
        line = "".join(each for each in line if each.isprintable())
        row, cells = "", 0
        for word in _pieces(line, columns):
            width = cell_len(word)
            if cells + width > columns and row:
                lines.append(row.rstrip())
                row, cells = "", 0
                word = word.lstrip()
                width = cell_len(word)
            row, cells = row + word, cells + width
        lines.append(row.rstrip())
    return lines


def _pieces(line: str, columns: int) -> list[str]:
    """Words with the spaces before them, those wider than a line cut."""
    pieces: list[str] = []
    word = ""
    for character in line:
        if (character == " " and word.strip()) or cell_len(word) + 2 > columns:
            pieces.append(word)
            word = ""
        word += character
    return [*pieces, word]


def _rows(line: str, columns: int) -> int:
    return max(1, -(-Text.from_ansi(line).cell_len // columns))
