r"""A JSON Schema's pattern in the dialect of llguidance, which is Rust's. No mlx, no llguidance.

JSON Schema names ECMA-262, where \d and \w are ASCII; Python's and Rust's checkers take Unicode.
What comes of a class here is what all three take (\d is 0-9, \W no letter of any script), so that
an answer validates whoever checks it. In a class that is negated it is what any of them takes.
Signs that mean nothing in ECMA-262 and something in Rust (&& or [ in a class) are escaped.
"""

import re
from typing import NamedTuple

from mlx_magistral.errors import UsageError

_SPACE = r"\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
_ANY_SPACE = rf"{_SPACE}\x{{1c}}-\x{{1f}}\x{{85}}\x{{feff}}"
_WORD = "A-Za-z0-9_"
_ANY_WORD = r"\p{Alphabetic}\p{M}\p{N}\p{Pc}\p{Join_Control}"

# Each class: what every dialect takes, and what any does.
_CLASSES = {
    "d": ("0-9", r"\p{N}"),
    "w": (_WORD, _ANY_WORD),
    "s": (_SPACE, _ANY_SPACE),
    "D": (r"[^\p{N}]", "[^0-9]"),
    "W": (f"[^{_ANY_WORD}]", f"[^{_WORD}]"),
    "S": (f"[^{_ANY_SPACE}]", f"[^{_SPACE}]"),
}
_DOT = r"[^\n\r\x{2028}\x{2029}]"
# llguidance lets quotes and backslashes into a class with this and anything else in it, so that it
# is left out where a class is negated or a range goes over it.
_BACKSPACE = 0x08
# llguidance takes a backslash alone, and what follows it, for one escape of JSON: after it a text
# may end too early. In a class it does not; that control character no text may hold anyway.
_BACKSLASH = r"[\x{5c}\x{1}]"
_CONTROLS = {"f": 0x0C, "n": 0x0A, "r": 0x0D, "t": 0x09, "v": 0x0B, "0": 0}

_ESCAPE = re.compile(
    r"\\(?:u(?P<high>[dD][89abAB][\da-fA-F]{2})"
    r"\\u(?P<low>[dD][c-fC-F][\da-fA-F]{2})|u\{(?P<braced>[0-9a-fA-F]{1,6})\}"
    r"|u(?P<four>[0-9a-fA-F]{4})|x(?P<two>[0-9a-fA-F]{2})|c(?P<letter>[A-Za-z])"
    r"|(?P<property>[pP]\{[\w=]+\})|(?P<control>[fnrtv]|0(?!\d))|(?P<set>[dDwWsS])|(?P<sign>[^\w\s]))",
    re.ASCII,
)
_GROUP = re.compile(r"\((?!\?)|\(\?(?::|=|!|P?<)")


# What llguidance has no way to hold to: it says so by name, where nobody leaves it out before.
_NOT_HELD = re.compile(r"(?<!\\)(?:\\\\)*(?:\\[bBk1-9]|\(\?(?:=|!|<=|<!))")


class _Piece(NamedTuple):
    """A part of a pattern in Rust's dialect, and where it ends in the original.

    ``code`` is that of the one character that it stands for, if it does.
    """

    text: str
    end: int
    code: int | None = None
    is_set: bool = False


def ecma_pattern(pattern: str) -> str:
    """The pattern for ``%json``; raises UsageError where it has what cannot be translated."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        sign = pattern[at]
        if sign == "\\":
            piece = _escape(pattern, at)
            text = f"[{piece.text}]" if piece.is_set else piece.text
            out.append(_BACKSLASH if piece.code == ord("\\") else text)
            at = piece.end
        elif sign == "[":
            text, at = _class(pattern, at)
            out.append(text)
        elif sign == "(":
            found = _GROUP.match(pattern, at)
            if found is None:
                raise _untranslatable(pattern, "flags in a group")
            out.append(found[0])
            at = found.end()
        else:
            out.append(_DOT if sign == "." else sign)
            at += 1
    return "".join(out)


def is_enforceable(pattern: str) -> bool:
    """Whether a grammar can hold a text to it, as far as its signs tell."""
    outside = re.sub(r"(?<!\\)(?:\\\\)*\[\^?\]?(?:\\.|[^\]\\])*\]", "", pattern)
    if _NOT_HELD.search(outside):
        return False
    try:
        ecma_pattern(pattern)
    except UsageError:
        return False
    return True


def _class(pattern: str, start: int) -> tuple[str, int]:
    """A class from its bracket on, and where it ends."""
    at = start + 1
    is_negated = pattern.startswith("^", at)
    at += is_negated
    members: list[str] = []
    while True:
        if at >= len(pattern):
            raise _untranslatable(pattern, "a class that is not closed")
        if pattern[at] == "]":
            break
        low = _member(pattern, at, is_negated)
        members.append(low.text)
        at = low.end
        if pattern.startswith("-", at) and pattern[at + 1 : at + 2] not in ("]", ""):
            high = _member(pattern, at + 1, is_negated)
            if low.code is None or high.code is None:
                raise _untranslatable(pattern, "a range with a class at its end")
            members[-1] = _range(low.code, high.code)
            at = high.end
    if not members:
        raise _untranslatable(pattern, "an empty class")
    if is_negated:
        members.append(_literal(_BACKSPACE))
    return f"[{'^' if is_negated else ''}{''.join(members)}]", at + 1


def _range(low: int, high: int) -> str:
    if low < _BACKSPACE < high:
        return f"{_range(low, _BACKSPACE - 1)}{_range(_BACKSPACE + 1, high)}"
    return f"{_literal(low)}-{_literal(high)}"


def _member(pattern: str, at: int, is_negated: bool) -> _Piece:
    if pattern.startswith("\\b", at):
        return _Piece(_literal(_BACKSPACE), at + 2, _BACKSPACE)
    if pattern[at] == "\\":
        return _escape(pattern, at, is_widest=is_negated)
    return _Piece(_literal(ord(pattern[at])), at + 1, ord(pattern[at]))


def _escape(pattern: str, at: int, *, is_widest: bool = False) -> _Piece:
    """What an escape stands for; sets without brackets around them."""
    found = _ESCAPE.match(pattern, at)
    if found is None:
        if pattern[at + 1 : at + 2] in ("b", "B", "k", *"123456789"):
            return _Piece(pattern[at : at + 2], at + 2)  # llguidance names what is wrong with these
        raise _untranslatable(pattern, f"the escape {pattern[at : at + 2]}")
    kind, text = found.lastgroup, found[found.lastgroup or 0]
    if kind == "set":
        return _Piece(_CLASSES[text][is_widest], found.end(), is_set=True)
    if kind == "property":
        return _Piece(found[0], found.end(), is_set=True)
    if kind == "low":
        code = 0x10000 + ((int(found["high"], 16) & 0x3FF) << 10) + (int(text, 16) & 0x3FF)
    elif kind == "letter":
        code = ord(text) % 32
    elif kind == "control":
        code = _CONTROLS[text]
    elif kind == "sign":
        code = ord(text)
    else:
        code = int(text, 16)
    if 0xD800 <= code < 0xE000 or code > 0x10FFFF:
        raise _untranslatable(pattern, "half a character")
    return _Piece(_literal(code), found.end(), code)


def _literal(code: int) -> str:
    letter = chr(code)
    return letter if letter.isascii() and letter.isalnum() else rf"\x{{{code:x}}}"


def _untranslatable(pattern: str, what: str) -> UsageError:
    return UsageError(
        f"The schema cannot be enforced: {what} in the pattern {pattern!r}. "
        "Leave that part out of it."
    )
