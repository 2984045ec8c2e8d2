"""Formulas of an answer as a line of Unicode: what reads well so; None for all others.

pylatexenc parses LaTeX and knows the signs; how they are set stands here: a fraction keeps what
belongs together in parentheses, indices and powers are small where all of them can be.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

from pylatexenc import latex2text, latexwalker
from pylatexenc.latexwalker import (
    LatexCharsNode,
    LatexEnvironmentNode,
    LatexGroupNode,
    LatexMacroNode,
    LatexSpecialsNode,
)
from pylatexenc.macrospec import LatexContextDb, std_macro

from mlx_magistral.terminal.formula_signs import (
    ACCENTS,
    BOARD,
    DELIMITERS,
    FRACTIONS,
    LARGE,
    LINES,
    OPERATORS,
    PLAIN,
    RELATIONS,
    ROOTS,
    SIGNS,
    SMALL,
    SPACES,
    TYPES,
    UNSEEN,
    WORDS,
)

# What is read as one thing without parentheses: a number, a letter with its marks, a parenthesis.
_WHOLE = re.compile(r"[\d.,]+|\w[\u0300-\u036f]?[₀-ₜ⁰-ⁿᵃ-ᶻ′²³]*!?|\([^()]*\)")
# After these a sign belongs to what follows it.
_BEFORE_OPERAND = RELATIONS | OPERATORS | set("([{,;")
_THOUSAND = re.compile(r"\d{3}(?!\d)")
_PARENTHESES = re.compile(r"\([^()]*\)")


@lru_cache(maxsize=512)
def as_unicode(source: str) -> str | None:
    """The formula, given without the signs around it; lines where it has several.

    None if it is not one of the simple ones: it is then better read as it was written.
    """
    walker = latexwalker.LatexWalker(source, latex_context=_arguments(), tolerant_parsing=False)
    try:
        lines = [_set(line) for line in _lines(walker.get_latex_nodes()[0])]
    except (_NotSimpleError, latexwalker.LatexWalkerParseError):
        return None
    return "\n".join(filter(None, lines)) or None


class _NotSimpleError(Exception):
    """The formula has something that a line of text cannot show."""


@cache
def _arguments() -> LatexContextDb:
    """How many arguments each command takes."""
    context = latexwalker.get_default_latex_context_db()
    two = [std_macro(name, False, 2) for name in FRACTIONS]
    names = (*PLAIN, *TYPES, *ACCENTS, "pmod", "mathbb")
    one = [std_macro(name, False, 1) for name in names]
    context.add_context_category("formulas", macros=[*two, *one], prepend=True)
    return context


@cache
def _known_signs() -> LatexContextDb:
    return latex2text.get_default_latex_context_db()


def _lines(nodes: Sequence[Any]) -> Iterator[list[Any]]:
    r"""Cut at ``\\`` and where an environment of lines begins and ends."""
    line: list[Any] = []
    for node in nodes:
        if isinstance(node, LatexEnvironmentNode) and node.environmentname in LINES:
            yield line
            yield from _lines(node.nodelist)
            line = []
        elif isinstance(node, LatexMacroNode) and node.macroname == "\\":
            yield line
            line = []
        else:
            line.append(node)
    yield line


def _set(nodes: Sequence[Any]) -> str:
    """One line; spaces as TeX sets them, those of the source do not count."""
    line = _Line()
    tokens = list(_tokens(nodes))
    while tokens:
        token = tokens.pop(0)
        following = "".join(each if isinstance(each, str) else "x" for each in tokens[:4])
        if isinstance(token, str) and token in SMALL:
            line.script(token, _piece(tokens.pop(0)) if tokens else _refused())
        elif isinstance(token, str) and token == "," and _THOUSAND.match(following):
            line.add_whole(",")
        elif isinstance(token, str):
            line.add("′" if token == "'" else token.strip())
        elif isinstance(token, LatexMacroNode) and token.macroname in DELIMITERS:
            del tokens[: following[:1] == "."]
        elif isinstance(token, LatexMacroNode) and token.macroname in FRACTIONS:
            line.add_fraction(_piece(token))
        elif isinstance(token, LatexGroupNode) or _is_text(token):
            line.add_whole(_piece(token))
        else:
            line.add(_piece(token))
    return line.text


def _tokens(nodes: Sequence[Any]) -> Iterator[Any]:
    """Single characters, and nodes that are more."""
    for node in nodes:
        if isinstance(node, LatexCharsNode):
            # A space after a comma says that it is none within a number.
            yield from re.findall(r", |\S", node.chars)
        elif not isinstance(node, LatexSpecialsNode) or node.specials_chars == "~":
            yield node
        elif node.specials_chars != "&":
            yield from node.specials_chars  # such as two primes


def _is_text(token: Any) -> bool:
    return isinstance(token, LatexMacroNode) and token.macroname in PLAIN


def _piece(token: Any) -> str:
    if isinstance(token, str):
        return token
    if isinstance(token, LatexCharsNode):
        return str(token.chars)
    if isinstance(token, LatexGroupNode):
        return _set(token.nodelist)
    if isinstance(token, LatexSpecialsNode) and token.specials_chars == "~":
        return " "
    if isinstance(token, LatexMacroNode):
        return _command(token)
    raise _NotSimpleError


def _command(node: LatexMacroNode) -> str:
    name = node.macroname
    arguments = list(node.nodeargd.argnlist) if node.nodeargd else []
    if name in FRACTIONS:
        over, under = (_piece(each) for each in arguments)
        return f"{_enclosed(over, is_over=True)}/{_enclosed(under)}"
    if name == "sqrt":
        index = "" if arguments[0] is None else _piece(arguments[0])
        return (ROOTS.get(index) or f"{_small(index, '^')}√") + _enclosed(_piece(arguments[1]))
    if name in PLAIN:
        return _verbatim(arguments[0])
    if name in TYPES:
        return _piece(arguments[0])
    if name == "mathbb":
        return "".join(BOARD.get(each) or _refused() for each in _piece(arguments[0]))
    if name == "pmod":
        return f" (mod {_piece(arguments[0])})"
    if name in ACCENTS:
        text = _piece(arguments[0])
        return "".join(each + ACCENTS[name] for each in text) if text.isalnum() else _refused()
    if name in SPACES:
        return SPACES[name]
    return "" if name in UNSEEN else SIGNS.get(name) or _sign(name)


def _sign(name: str) -> str:
    """A command that stands for a sign or a word, and nothing else."""
    if name in WORDS:
        return name
    found = _known_signs().get_macro_spec(name)
    sign = None if found is None else found.simplify_repl
    return sign if isinstance(sign, str) and len(sign) == 1 else _refused()


def _verbatim(argument: Any) -> str:
    r"""A text in a formula, with its spaces; of commands only ``\%`` and the like."""
    text = re.sub(r"\\([%$#&_])", r"\1", argument.latex_verbatim().removeprefix("{"))
    return text.removesuffix("}") if not set("\\{") & set(text) else _refused()


def _refused() -> str:
    raise _NotSimpleError


def _enclosed(text: str, *, is_over: bool = False) -> str:
    """In parentheses, unless it is read as one thing without, or as a product over a line."""
    outside = _PARENTHESES.sub("", text)
    is_product = is_over and not any(sign in outside[1:] for sign in " +-−±=<>/")
    return text if is_product or _WHOLE.fullmatch(text) else f"({text})"


def _small(text: str, kind: str) -> str:
    """As a power or an index, with its sign where not all of it can be small."""
    dense = text.replace(" ", "")
    if text == "∘" and kind == "^":
        return "°"
    if set(text) == {"′"}:
        return text
    if dense and all(each in SMALL[kind] for each in dense):
        return "".join(SMALL[kind][each] for each in dense)
    return f"{kind}{text}" if len(text) == 1 else f"{kind}({text})"


class _Line:
    """A line as it grows; spaces come with the signs beside them."""

    def __init__(self) -> None:
        self._text = ""
        self._fraction = 0  # the length of the one that it ends in

    @property
    def text(self) -> str:
        return self._text.rstrip()

    def add(self, piece: str) -> None:
        """A sign or a letter."""
        last = self._text[-1:]
        is_after_operand = bool(self.text) and self.text[-1] not in _BEFORE_OPERAND
        if piece in RELATIONS or (piece in OPERATORS and is_after_operand):
            self._append(f"{' ' * (last != ' ')}{'|' if piece == '∣' else piece} ")
        elif piece in (",", ";") or (piece == ":" and last.isalpha()):
            self._append(f"{piece} ")
        elif piece in LARGE or piece in WORDS:
            self._append(f"{' ' * (last.isalnum() or last == ')')}{piece} ")
        elif piece in ("(", "[") and self.text.split(" ")[-1] in WORDS:
            self._text = self.text + piece
        else:
            self.add_whole(piece)

    def add_whole(self, piece: str) -> None:
        """Something that has its spaces."""
        if self._fraction and piece and (piece[0].isalnum() or piece[0] in "√("):
            self._enclose_fraction()
        self._append(piece)

    def add_fraction(self, piece: str) -> None:
        """2 1/2 where a number and a fraction are one, x(1/2) where they are a product."""
        last = self._text[-1:]
        if last.isdigit():
            self._append(f" {piece}")
        elif last.isalpha() or last == ")":
            self._append(f"({piece})")
        else:
            self._append(piece)
            self._fraction = len(piece)

    def script(self, kind: str, text: str) -> None:
        """A power or an index of what it ends in."""
        if self._fraction:
            self._enclose_fraction()
        spaces = " " * self._text.endswith(" ")
        self._text = self.text + _small(text, kind) + spaces

    def _append(self, text: str) -> None:
        self._text += text
        self._fraction = self._fraction if not text else 0

    def _enclose_fraction(self) -> None:
        place = len(self._text) - self._fraction
        self._text = f"{self._text[:place]}({self._text[place:]})"
        self._fraction = 0
