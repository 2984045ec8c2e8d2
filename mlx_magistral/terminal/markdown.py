"""Markdown of an answer to lines of a terminal, simple formulas in Unicode.

An answer is cut into its finished blocks, which never change, and the last one, which may.
"""

import re
from io import StringIO

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Markdown
from rich.syntax import Syntax
from rich.theme import Theme

# What may hold a formula's marks without being one comes first and is left alone.
_MATH = re.compile(
    r"(?P<code>^(?P<fence>`{3,}|~{3,}).*?(?:^(?P=fence)|\Z)|(?P<tick>`+)(?:(?!\n\n).)+?(?P=tick))"
    r"|\$\$(?P<dollars>(?:(?!\n\s*\n).)+?)\$\$"
    r"|\\\[(?P<brackets>(?:(?!\n\s*\n).)+?)\\\]"
    r"|\\\((?P<parentheses>(?:(?!\n\s*\n).)+?)\\\)"
    r"|(?<![\\\w$])\$(?P<dollar>(?=[^\s$])[^$\n]*?[^\s\\$]|[^\s$\\])\$(?![\d$])",
    re.DOTALL | re.MULTILINE,
)
_STYLE = re.compile(r"\x1b\[[\d;]*m")
_THEME = Theme({"markdown.code": "cyan", "markdown.block_quote": "none"})


def split_blocks(text: str) -> tuple[list[str], str]:
    """The finished top-level blocks, and the rest that is still being written."""
    lines = text.splitlines(keepends=True)
    starts = [
        token.map[0]
        for token in _parser().parse(text)
        if token.level == 0 and token.map is not None and token.nesting >= 0
    ]
    edges = [0, *starts[1:], len(lines)]
    blocks = ["".join(lines[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
    return blocks[:-1], blocks[-1]


def formulas_as_code(text: str) -> str:
    """Formulas as code, which Markdown leaves alone: in Unicode, or as they were written where
    they are not simple.
    """
    return _MATH.sub(_as_code, text)


def is_table(block: str) -> bool:
    """Whether its columns may still change width."""
    return block.lstrip().startswith("|")


class MarkdownRenderer:
    """Renders to lines with escape codes, ``columns`` wide at most."""

    def __init__(self, columns: int, *, has_colour: bool) -> None:
        self._console = Console(
            file=StringIO(),
            force_terminal=True,
            width=max(columns, 10),
            color_system="standard" if has_colour else None,
            no_color=not has_colour,
            theme=_THEME,
            highlight=False,
            legacy_windows=False,
        )

    def lines(self, text: str) -> list[str]:
        """One block, or more, without the blank lines around it."""
        with self._console.capture() as capture:
            self._console.print(_Answer(text))
        lines = [line.rstrip() for line in capture.get().split("\n")]
        while lines and _is_blank(lines[-1]):
            lines.pop()
        while lines and _is_blank(lines[0]):
            lines.pop(0)
        return lines


class _Code(CodeBlock):
    """Code from the first column on, so that it can be copied."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip()
        yield Syntax(code, self.lexer_name, theme=self.theme, word_wrap=True)


class _Answer(Markdown):
    """Markdown with nothing left out: no HTML, whose tags would vanish, and links with address."""

    elements = {**Markdown.elements, "fence": _Code, "code_block": _Code}

    def __init__(self, text: str) -> None:
        super().__init__(text, code_theme="ansi_dark", hyperlinks=False)
        self.parsed = _parser().parse(text)
        for token in self.parsed:
            # <https://…> is its own address: as a link it would stand there twice.
            token.children = [
                each for each in token.children or [] if each.markup != "autolink"
            ] or token.children


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _is_blank(line: str) -> bool:
    return not _STYLE.sub("", line).strip()


def _as_code(match: re.Match[str]) -> str:
    if match["code"] is not None:
        return match[0]
    from mlx_magistral.terminal.formulas import as_unicode

    inline = match["dollar"] or match["parentheses"]
    inner = (inline or match["dollars"] or match["brackets"]).strip()
    shown = as_unicode(" ".join(inner.split()))
    before = match.string[: match.start()].rpartition("\n")[2]
    if inline or (shown is not None and "\n" not in shown) or (not shown and "\n" not in inner):
        if shown is None:
            return _code(" ".join(match[0].split()))
        # In a table a bar would end the cell.
        bar = "\\|" if is_table(before) else "|"
        return _code(shown.replace("\n", "; ").replace("|", bar))
    # A block of its own keeps its place in a list; one amid a line begins anew.
    indent = before if not before.strip() else ""
    body = "\n".join(indent + line.strip() for line in (shown or inner).split("\n"))
    lead = "" if not before.strip() else "\n"
    return f"{lead}```{'' if shown else 'latex'}\n{body}\n{indent}```"


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"
