"""Answers as terminal lines: nothing is left out, and streaming ends like the whole."""

import re
from io import StringIO

import pyte
import pytest

from mlx_magistral.chat.view import ReplyView
from mlx_magistral.events import ContentDelta, ReasoningDelta
from mlx_magistral.terminal.display import ThinkMode
from mlx_magistral.terminal.live import LiveRegion, wrap
from mlx_magistral.terminal.markdown import MarkdownRenderer, formulas_as_code, split_blocks

ANSWER = """# Sums

So $a_1 * b_2 * c$ costs $5 and $6, or \\(x \\\\ y\\).

1. one
2. two with `code $x$`

$$\\frac{1}{2} \\\\ z$$

| name | value |
|---|---|
| a rather long name | 1 |

```python
print("$x$ and $y$")

print(2)
```

The **end**.
"""


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("$a_1*b*c$", "`a₁ * b * c`"),
        ("\\(x_1\\)", "`x₁`"),
        ("$$x \\\\ y$$", "```\nx\ny\n```"),
        ("so $$x_1$$ is", "so `x₁` is"),
        ("$\\boxed{85}$", "`85`"),
        ("$\\binom{a_1}{b}$", "`$\\binom{a_1}{b}$`"),
        ("| $|x|$ | 1 |", "| `\\|x\\|` | 1 |"),
        ("it costs $5 and $6", None),
        ("`$x$` and US$5$", None),
        ("```\n$x$\n```", None),
        ("open $x_1", None),
    ],
)
def test_formulas_become_code_and_money_does_not(text: str, kept: str | None) -> None:
    assert formulas_as_code(text).strip("\n") == (kept or text)


def test_blocks_join_to_the_text_and_finished_ones_never_change() -> None:
    text = formulas_as_code(ANSWER)
    finished: list[str] = []
    for end in range(1, len(text) + 1):
        blocks, rest = split_blocks(text[:end])
        assert "".join(blocks) + rest == text[:end]
        assert blocks[: len(finished)] == finished
        finished = blocks
    assert len(finished) == 6


def plain(lines: list[str]) -> list[str]:
    return [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in lines]


@pytest.mark.parametrize(("columns", "rows"), [(80, 40), (40, 12), (20, 6)])
def test_streamed_answer_is_on_the_screen_once_at_any_size(columns: int, rows: int) -> None:
    screen = pyte.HistoryScreen(columns, rows, history=1000)
    screen.set_mode(pyte.modes.LNM)
    stream, output = pyte.Stream(screen), StringIO()
    now = iter(range(10**6))
    view = ReplyView(
        output,
        ThinkMode.FULL,
        has_colour=True,
        size=lambda: (columns, rows),
        clock=lambda: float(next(now)),
    )
    view.feed(ReasoningDelta("secret thoughts\n" * 50, 7))
    for character in ANSWER:
        view.feed(ContentDelta(character))
    view.close()
    stream.feed(output.getvalue())
    above = ["".join(row[x].data for x in range(columns)) for row in screen.history.top]
    shown = "\n".join(line.rstrip() for line in [*above, *screen.display])
    renderer = MarkdownRenderer(columns - 1, has_colour=True)
    for block in split_blocks(formulas_as_code(ANSWER))[0]:
        assert shown.count("\n".join(plain(renderer.lines(block)))) == 1
    assert shown.count("The end.") == 1
    assert "secret" not in shown


def test_only_changed_lines_are_written() -> None:
    output = StringIO()
    region = LiveRegion(output, lambda: (40, 10))
    region.draw(["one", "two"])
    region.draw(["one", "two!"])
    region.draw(["one", "two!"])
    assert output.getvalue().count("one") == 1
    assert output.getvalue().count("two!") == 1


def test_wrap_keeps_words_and_takes_control_characters_out() -> None:
    assert wrap("one two three", 8) == ["one two", "three"]
    assert wrap("x" * 25, 10) == ["x" * 9, "x" * 9, "x" * 7]
    assert wrap("a\x1b[31mb\n\n日本語日本語", 8) == ["a[31mb", "", "日本語日", "本語"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Use vector<int> and <b>x</b>.", ["Use vector<int> and <b>x</b>."]),
        ("<div>\nhello\n</div>", ["<div> hello </div>"]),
        ("See [it](https://a.example/b) or <https://c.example>.", [
            "See it (https://a.example/b) or https://c.example."
        ]),
        ("```python\nif x:\n    y()\n```", ["if x:", "    y()"]),
        ("| a |\n|---|\n| 宽 |", [" a", " ──", " 宽"]),
    ],
)  # fmt: skip
def test_nothing_of_an_answer_is_left_out(text: str, shown: list[str]) -> None:
    assert plain(MarkdownRenderer(60, has_colour=True).lines(text)) == shown
