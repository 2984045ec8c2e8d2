"""The plots as one PNG, drawn with Pillow: the panels of plots.py below each other."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlx_magistral.errors import MissingExtraError, RunError
from mlx_magistral.evals.report.plots import Curve, Histogram

_WIDTH, _PANEL = 900, 420
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 50, 870, 350
_INK, _GRID, _BLUE, _ORANGE, _GREY = "#222222", "#dddddd", "#3566c8", "#d4652f", "#888888"


def save_png(path: Path, title: str, panels: Sequence[Curve | Histogram]) -> None:
    """Raises MissingExtraError without Pillow, RunError where the file cannot be written."""
    try:
        from PIL import Image, ImageDraw
    except ModuleNotFoundError as error:
        raise MissingExtraError("Plots as PNG", "plots") from error
    picture = Image.new("RGB", (_WIDTH, 40 + _PANEL * len(panels)), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((_LEFT, 14), title, fill=_INK)
    for number, panel in enumerate(panels):
        pen = _Pen(draw, 30 + _PANEL * number)
        if isinstance(panel, Curve):
            _draw_curve(pen, panel)
        else:
            _draw_histogram(pen, panel)
    data = io.BytesIO()
    picture.save(data, format="PNG")
    _write(path, data.getvalue())


class _Pen:
    """Draws in a panel's own coordinates: x and y from 0 to 1, y upwards."""

    def __init__(self, draw: Any, top: int) -> None:
        self._draw = draw
        self._top = top

    def at(self, x: float, y: float) -> tuple[float, float]:
        down = self._top + _BOTTOM - (_BOTTOM - _TOP) * y
        return _LEFT + (_RIGHT - _LEFT) * x, down

    def line(self, *points: tuple[float, float], colour: str, width: int = 1) -> None:
        self._draw.line([self.at(*point) for point in points], fill=colour, width=width)

    def box(self, x: float, y: float, to_x: float, to_y: float, colour: str) -> None:
        (left, bottom), (right, top) = self.at(x, y), self.at(to_x, to_y)
        self._draw.rectangle((left, top, right, bottom), fill=colour)

    def dot(self, x: float, y: float, colour: str) -> None:
        across, down = self.at(x, y)
        self._draw.ellipse((across - 4, down - 4, across + 4, down + 4), fill=colour)

    def text(self, x: float, y: float, text: str, colour: str = _INK, right: int = 0) -> None:
        across, down = self.at(x, y)
        self._draw.text((across + right, down), text, fill=colour)

    def grid(self, label: Callable[[float], str]) -> None:
        for share in (0, 0.25, 0.5, 0.75, 1):
            self.line((0, share), (1, share), colour=_GRID)
            self.text(0, share, label(share), right=-52)


def _draw_curve(pen: _Pen, curve: Curve) -> None:
    pen.text(0, 1.14, f"{curve.task}: pass@1 by thinking budget, with the 95 % interval")
    pen.grid(lambda share: f"{share * 100:.0f} %")
    bars = [bar for bar in curve.bars if bar.interval is not None]
    for bar in curve.bars:
        if bar.interval is None:
            pen.line((0, bar.share), (1, bar.share), colour=_GREY, width=1)
            pen.text(0.9, bar.share + 0.06, f"{bar.name} {bar.share * 100:.1f} %", _GREY)
    places = [(0.05 + 0.85 * i / max(len(bars) - 1, 1), bar) for i, bar in enumerate(bars)]
    pen.line(*[(x, bar.share) for x, bar in places], colour=_BLUE, width=2)
    for x, bar in places:
        assert bar.interval is not None
        pen.line((x, bar.interval.low), (x, bar.interval.high), colour=_BLUE, width=1)
        pen.dot(x, bar.share, _BLUE)
        pen.text(x, -0.04, bar.name, right=-16)
        if bar.tokens is not None:
            pen.text(x, -0.1, f"{bar.tokens:,.0f} used", _GREY, right=-16)


def _draw_histogram(pen: _Pen, found: Histogram) -> None:
    most = max((each.right + each.wrong for each in found.bins), default=0) or 1
    pen.text(0, 1.14, f"{found.task}: tokens of thinking;")
    pen.text(0.28, 1.14, "right", _BLUE)
    pen.text(0.34, 1.14, "wrong", _ORANGE)
    pen.grid(lambda share: f"{share * most:,.0f}")
    width = 1 / max(len(found.bins), 1)
    for number, each in enumerate(found.bins):
        left, right = (number + 0.08) * width, (number + 0.92) * width
        middle, top = each.right / most, (each.right + each.wrong) / most
        if each.right:
            pen.box(left, 0, right, middle, _BLUE)
        if each.wrong:
            pen.box(left, middle, right, top, _ORANGE)
        pen.text(number * width, -0.04, f"{each.low:,}")


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}).") from error
