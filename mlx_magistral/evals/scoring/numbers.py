"""Numbers as models write them in a box, read exactly: no prose, no guess.

Strict where other readers are not: 1\\,234 is 1234 and not 235, (1,2) is no number, and 204 % is
2.04, so it is not 204.
"""

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction

# What only sets: spaces, sizes, delimiters.
_NOISE = re.compile(
    r"\\[,;:!> ]|\\(?:left|right|displaystyle|quad|qquad|thinspace|limits)(?![A-Za-z])|[~$]"
)
_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|operatorname|mathit)\s*\{([^{}]*)\}")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|°")
_FRACTION = re.compile(r"(-?)\\[dtc]?frac\s*(?:\{([^{}]+)\}|(\d))\s*(?:\{([^{}]+)\}|(\d))")
_PLAIN = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:(?:,|\{,\})\d{3})+(?:\.\d+)?", re.ASCII)
# x = 204, but not a chain of equations.
_NAMED = re.compile(r"\s*[A-Za-z](?:_\{?\w+\}?)?\s*=\s*([^=]*)")
_PERCENT = re.compile(r"\\?%\s*$")
_MOST_DIGITS = 400


def read_number(text: str) -> Fraction | None:
    """The number that the whole text is, units and typesetting aside; None where it is none."""
    text = _DEGREES.sub("", text.strip())
    # A macro's space stays one, or 1\\ 234 and units would run together.
    text = _NOISE.sub(lambda match: " " if match.group() in ("~", "\\ ") else "", text)
    text = _TEXT.sub(lambda match: f" {match.group(1)} ", text).strip().rstrip(".").strip()
    if named := _NAMED.fullmatch(text):
        text = named[1].strip()
    if not text or len(text) > _MOST_DIGITS:
        return None
    if _PERCENT.search(text):
        share = read_number(_PERCENT.sub("", text))
        return None if share is None else share / 100
    if fraction := _FRACTION.fullmatch(_without_unit(text)):
        return _ratio(fraction[2] or fraction[3], fraction[4] or fraction[5], fraction[1] == "-")
    text = _without_unit(text)
    top, slash, bottom = text.partition("/")
    if slash:
        return _ratio(top.strip(), bottom.strip(), is_negative=False)
    return _plain(text)


def shown(number: Fraction) -> str:
    """204, or 3/4."""
    return str(number)


def _plain(text: str) -> Fraction | None:
    if _GROUPED.fullmatch(text):
        text = re.sub(r"[{},]", "", text)
    # 1 234 with a space in between, as written by some; never 12 34.
    elif re.fullmatch(r"[+-]?\d{1,3}(?: \d{3})+", text):
        text = text.replace(" ", "")
    if not _PLAIN.fullmatch(text):
        return None
    try:
        return Fraction(Decimal(text))
    except InvalidOperation:
        return None


def _without_unit(text: str) -> str:
    """5 cm is 5 here; 5x stays, since it may be a product."""
    match = re.fullmatch(r"(.*[\d}.])(\s+[A-Za-zµ²³/ ]+)", text)
    return match[1] if match else text


def _ratio(top: str, bottom: str, is_negative: bool) -> Fraction | None:
    over, under = _plain(top.strip()), _plain(bottom.strip())
    if over is None or under is None or under == 0:
        return None
    return -over / under if is_negative else over / under
