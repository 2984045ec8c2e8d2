"""The letter of a choice that an answer states."""

import re

# "Answer: C", bold or boxed, in any case of the word; the last one counts.
_STATED = re.compile(
    r"(?i:answer|choice|option)\W{0,12}?(?:is|:)?[\s:*_$({\[]*(?:\\(?:text|mathrm|mathbf)\s*\{)?\(?"
    r"([A-Z])(?![\w'’])"
)
# What a box holds: a letter alone, or with the choice's text after a mark.
_BOX = re.compile(
    r"(?:\\(?:text|mathrm|mathbf|textbf)\s*\{)?\s*\(?([A-Za-z])(?:\s*\}?|[).:,].*)", re.DOTALL
)
# A last line of its own: C, or C) and the choice's text.
_LINE = re.compile(r"^\s*[*_(]*([A-Z])(?:[)*_.:]*\s*$|\)\s)")


def stated_letter(answer: str, boxed: str | None, count: int) -> str | None:
    """The letter among the first ``count`` ones: of the last box, else the last that is stated.

    Only what is said to be the answer counts, or stands on a line of its own at the end; a letter
    in the middle of prose does not.
    """
    if boxed is not None:
        inside = _BOX.fullmatch(boxed)
        if inside and (letter := _among(inside[1], count)):
            return letter
    stated = [letter for each in _STATED.finditer(answer) if (letter := _among(each[1], count))]
    if stated:
        return stated[-1]
    lines = answer.rstrip().splitlines()
    alone = _LINE.match(lines[-1]) if lines else None
    return _among(alone[1], count) if alone else None


def _among(letter: str, count: int) -> str | None:
    letter = letter.upper()
    return letter if ord(letter) - ord("A") < count else None
