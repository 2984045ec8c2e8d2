"""LiveRegion: the last lines of a terminal, changed in place; what is above them stays.

Only lines that differ are written again, all at once, so nothing flickers. A line that has left
the window can no longer be reached: it is written for good or not shown. Lines are erased one by
one: what a terminal clears at once, some keep in their history.
"""

from collections.abc import Callable, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.text import Text

from mlx_magistral.terminal.size import terminal_size

# The terminal shows what is between these as one frame, where it knows them.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_ERASE_LINE = "\x1b[2K"


class LiveRegion:
    """Draws to one terminal. ``commit`` writes for good, ``draw`` what may still change.

    ``foot`` are lines that stay under all of it for as long as they are there.
    """

    def __init__(self, stream: TextIO, size: Callable[[], tuple[int, int]] = terminal_size) -> None:
        self._stream = stream
        self._size = size
        self._shown: list[str] = []
        self._frozen = 0
        self.foot: list[str] = []

    @property
    def columns(self) -> int:
        """The width of a line; the last column stays free, since terminals differ in it."""
        return self._size()[0] - 1

    @property
    def window(self) -> int:
        """How many lines can be changed, those of the foot aside."""
        return max(self._size()[1] - 2 - len(self.foot), 2)

    def draw(self, lines: Sequence[str], *, can_freeze: bool = False) -> None:
        """Show these lines instead of those drawn before.

        Of more than the window holds the last ones are shown, and with ``can_freeze`` the first
        ones written for good.
        """
        window = self.window
        over = max(len(lines) - self._frozen - window, 0) if can_freeze else 0
        left = list(lines[self._frozen :]) if can_freeze else list(lines)
        self._replace(left[:over], left[over:][-window:])
        self._frozen += over

    def commit(self, lines: Sequence[str]) -> None:
        """Write these lines for good in the place of those drawn."""
        self._replace(lines[self._frozen :], [])
        self._frozen = 0

    def _replace(self, for_good: Sequence[str], changing: Sequence[str]) -> None:
        wanted = [*for_good, *changing, *self.foot]
        shown, self._shown = self._shown, wanted[len(for_good) :]
        same = 0
        while same < min(len(wanted), len(shown)) and wanted[same] == shown[same]:
            same += 1
        if same == len(wanted) == len(shown):
            return
        columns, lines = self._size()
        # The window may have become narrower since, a line then takes several rows; or lower, and
        # the first ones have left it.
        rows = min(sum(_rows(line, columns) for line in shown[same:]), lines - 1)
        up = f"\x1b[{rows}A" if rows else ""
        text = "".join(f"{_ERASE_LINE if rows else ''}{line}\n" for line in wanted[same:])
        below = rows - (len(wanted) - same)
        rest = f"{_ERASE_LINE}\x1b[B" * below + f"\x1b[{below}A" if below > 0 else ""
        self._stream.write(f"{_BEGIN}{up}\r{text}{rest}{_END}")
        self._stream.flush()


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
