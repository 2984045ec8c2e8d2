"""The last box of an answer: \\boxed{...}, braces matched."""

import re

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*(?=[{\w\\-])")
_PAIRS = re.compile(r"\\.|[{}]", re.DOTALL)
# $$, \[ \], \( \) and the like around the whole of a box's content.
_AROUND = re.compile(r"^\s*(\$\$?|\\\[|\\\()?\s*(.*?)\s*(\$\$?|\\\]|\\\))?\s*$", re.DOTALL)


def last_boxed(text: str) -> str | None:
    """What the last box holds, without dollars around it; None where there is no whole box.

    A box that is never closed ends the search: what stood in an earlier one was thought better of.
    """
    found = list(_BOX.finditer(text))
    if not found:
        return None
    start = found[-1].end()
    if text[start] != "{":
        # \boxed 5 boxes one token, as TeX reads it: a macro, or a run of digits by habit.
        bare = re.match(r"-?\d+|\\[A-Za-z]+|\w", text[start:])
        return bare.group() if bare else None
    depth = 0
    for mark in _PAIRS.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(mark.group(), 0)
        if depth == 0:
            return _bare(text[start + 1 : mark.start()])
    return None


def _bare(content: str) -> str:
    inside = _AROUND.match(content)
    assert inside is not None, "the pattern takes any text"
    return inside[2]
