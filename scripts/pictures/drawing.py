"""Screens as SVG: one, or many in turn as an animation in CSS. Light and dark in one file.

Text stays text: it can be read aloud, searched, and checked by a test.
"""

from dataclasses import dataclass
from html import escape

from recording import DIM_COLOUR, Frame, Row

_CELL, _LINE, _SIZE = 8.43, 19, 14
_PAD, _BAR = 14, 30
# Of each class: its colour on a light and on a dark ground.
_COLOURS = {
    "default": ("#24292f", "#e6edf3"),
    DIM_COLOUR: ("#6e7781", "#8b949e"),
    "cyan": ("#0a6c86", "#56d4dd"),
    "green": ("#116329", "#7ee787"),
    "blue": ("#0550ae", "#79c0ff"),
    "red": ("#a40e26", "#ffa198"),
    "magenta": ("#6639ba", "#d2a8ff"),
    "brown": ("#7d4e00", "#e3b341"),
}
_GROUND = ("#f6f8fa", "#0d1117")
_EDGE = ("#d0d7de", "#30363d")


@dataclass(frozen=True)
class _Piece:
    """A row's content at a line of the picture, and when it is seen, as shares of the whole."""

    line: int
    row: Row
    start: float
    end: float


def still(frame: Frame, columns: int, lines: int, title: str) -> str:
    """One screen."""
    pieces = [_Piece(line, row, 0.0, 1.0) for line, row in enumerate(frame.rows[:lines]) if row]
    return _svg(pieces, columns, lines, title, 1.0)


def animation(frames: list[Frame], seconds: float, columns: int, lines: int, title: str) -> str:
    """All screens in turn, for ever; whoever wants no motion sees the last."""
    pieces: list[_Piece] = []
    for line in range(lines):
        start, row = frames[0].at, frames[0].rows[line]
        for frame in [*frames[1:], Frame(seconds, ())]:
            now = frame.rows[line] if frame.rows else None
            if now != row:
                if row:
                    pieces.append(_Piece(line, row, start / seconds, frame.at / seconds))
                start, row = frame.at, now or ()
    return _svg(pieces, columns, lines, title, seconds)


def _svg(pieces: list[_Piece], columns: int, lines: int, title: str, seconds: float) -> str:
    width = round(columns * _CELL + 2 * _PAD)
    height = lines * _LINE + _BAR + _PAD
    times: dict[tuple[float, float], str] = {}
    texts = [_text(piece, times) for piece in pieces]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title>",
            f"<style>{_style(times, seconds)}</style>",
            f'<rect class="g" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="9"/>',
            *(f'<circle class="e" cx="{18 + 16 * n}" cy="16" r="5"/>' for n in range(3)),
            f'<g transform="translate({_PAD} {_BAR})">',
            *texts,
            "</g>",
            "</svg>",
            "",
        ]
    )


def _text(piece: _Piece, times: dict[tuple[float, float], str]) -> str:
    name = ""
    if (piece.start, piece.end) != (0.0, 1.0):
        key = (round(piece.start, 4), round(piece.end, 4))
        name = f' class="{times.setdefault(key, f"t{len(times)}")}"'
    column, spans = 0, []
    for span in piece.row:
        looks = [_class(span.colour), *(["b"] if span.is_bold else [])]
        shown = " ".join(look for look in looks if look)
        if span.text.strip():
            attribute = f' class="{shown}"' if shown else ""
            spans.append(f'<tspan x="{column * _CELL:g}"{attribute}>{escape(span.text)}</tspan>')
        column += len(span.text)
    return f'<text y="{(piece.line + 0.75) * _LINE:g}"{name}>{"".join(spans)}</text>'


def _class(colour: str) -> str:
    return "" if colour == "default" else f"c-{colour}" if colour in _COLOURS else ""


def _style(times: dict[tuple[float, float], str], seconds: float) -> str:
    rules = [
        f"text{{font:{_SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}}",
        "text{white-space:pre}",
        ".b{font-weight:600}",
    ]
    for (start, end), name in times.items():
        seen = "visible" if end >= 1 else "hidden"
        first = "visible" if start <= 0 else "hidden"
        rules.append(
            f".{name}{{visibility:{seen};animation:{name} {seconds:g}s step-end infinite}}"
            f"@keyframes {name}{{0%{{visibility:{first}}}{start * 100:.2f}%{{visibility:visible}}"
            f"{end * 100:.2f}%{{visibility:{seen}}}}}"
        )
    for theme in (0, 1):
        looks = [f".g{{fill:{_GROUND[theme]};stroke:{_EDGE[theme]}}}.e{{fill:{_EDGE[theme]}}}"]
        for colour, pair in _COLOURS.items():
            selector = "text" if colour == "default" else f".c-{colour}"
            looks.append(f"{selector}{{fill:{pair[theme]}}}")
        text = "".join(looks)
        rules.append(text if theme == 0 else f"@media(prefers-color-scheme:dark){{{text}}}")
    rules.append("@media(prefers-reduced-motion:reduce){text{animation:none!important}}")
    return "".join(rules)
