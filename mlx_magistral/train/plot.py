"""The loss as a curve: in a terminal's characters, and as a PNG."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlx_magistral.errors import MissingExtraError
from mlx_magistral.train.files import write_whole
from mlx_magistral.train.history import History

Points = Sequence[tuple[int, float]]

# A Braille character is two columns of four dots; these are their bits, column by column.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BRAILLE = 0x2800
_LABEL_COLUMNS = 8
_INK, _GRID, _TRAIN, _VALID = "#222222", "#dddddd", "#3566c8", "#d4652f"


def text_plot(history: History, columns: int, rows: int = 8) -> list[str]:
    """Lines of at most ``columns`` characters: the training loss in dots, validation as ``o``."""
    valid = [(each.step, each.loss) for each in history.valid]
    return points_plot(history.smoothed(), valid, columns, rows)


def points_plot(curve: Points, valid: Points, columns: int, rows: int = 8) -> list[str]:
    """A curve in dots and single points as ``o``, on a logarithmic scale; [] for too few."""
    if len(curve) < 2 or columns < 3 * _LABEL_COLUMNS:
        return []
    scale = _Scale([*curve, *valid], 2 * (columns - _LABEL_COLUMNS), 4 * rows)
    cells = [[0] * (columns - _LABEL_COLUMNS) for _ in range(rows)]
    for x, y in _joined([scale.place(*point) for point in curve]):
        cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
    drawn = [[chr(_BRAILLE + bits) for bits in row] for row in cells]
    for point in valid:
        x, y = scale.place(*point)
        drawn[y // 4][x // 2] = "o"
    labels = {0: f"{scale.high:7.3g} ", rows - 1: f"{scale.low:7.3g} "}
    return [labels.get(row, " " * _LABEL_COLUMNS) + "".join(each) for row, each in enumerate(drawn)]


def save_png(history: History, title: str, path: Path) -> None:
    """The same as a picture of 900 x 540; raises MissingExtraError, TrainingError."""
    try:
        from PIL import Image, ImageDraw
    except ModuleNotFoundError as error:
        raise MissingExtraError("Curves as PNG", "train") from error
    curve = history.smoothed()
    valid = [(each.step, each.loss) for each in history.valid]
    left, top, width, height = 80, 50, 780, 430
    scale = _Scale([*curve, *valid], width, height)
    picture = Image.new("RGB", (900, 540), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((left, 18), title, fill=_INK)
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = top + round(share * height)
        draw.line((left, y, left + width, y), fill=_GRID)
        draw.text((12, y - 6), f"{scale.loss_at(share):.4g}", fill=_INK)
        step = round(scale.first + share * (scale.last - scale.first))
        draw.text((left + share * width - 10, top + height + 12), f"{step:,}", fill=_INK)
    for points, colour, name, at in (
        (curve, _TRAIN, "training", 0),
        (valid, _VALID, "held out", 1),
    ):
        _line(draw, [scale.place(*point) for point in points], (left, top), colour)
        draw.text((left + width - 160 + 90 * at, 18), name, fill=colour)
    draw.text((left + width / 2 - 20, top + height + 32), "steps", fill=_INK)
    write_whole(path, lambda draft: picture.save(draft, format="PNG"))


class _Scale:
    """Steps and the logarithm of losses to places on a grid, (0, 0) at the upper left."""

    def __init__(self, points: Points, width: int, height: int) -> None:
        losses = [max(loss, 1e-6) for _, loss in points if math.isfinite(loss)]
        self.first, self.last = min(step for step, _ in points), max(step for step, _ in points)
        self.low, self.high = min(losses), max(losses)
        self._width, self._height = width - 1, height - 1

    def place(self, step: int, loss: float) -> tuple[int, int]:
        """Column and row."""
        across = (step - self.first) / max(self.last - self.first, 1)
        span = math.log(self.high / self.low) or 1.0
        down = math.log(self.high / min(max(loss, self.low), self.high)) / span
        return round(across * self._width), round(down * self._height)

    def loss_at(self, share: float) -> float:
        """The loss so far down."""
        return float(self.high * (self.low / self.high) ** share)


def _joined(places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Every dot on the straight lines between places."""
    dots = list(places[:1])
    for (x, y), (next_x, next_y) in zip(places, places[1:], strict=False):
        count = max(abs(next_x - x), abs(next_y - y), 1)
        dots += [
            (
                round(x + (next_x - x) * part / count),
                round(y + (next_y - y) * part / count),
            )
            for part in range(1, count + 1)
        ]
    return dots


def _line(
    draw: Any, places: Sequence[tuple[int, int]], origin: tuple[int, int], colour: str
) -> None:
    moved = [(origin[0] + x, origin[1] + y) for x, y in places]
    if len(moved) > 1:
        draw.line(moved, fill=colour, width=2)
    for x, y in moved if len(moved) < 60 else ():
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
