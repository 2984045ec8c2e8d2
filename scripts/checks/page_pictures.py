#!/usr/bin/env python3
"""Pictures of every screen of the chat page, to look at: wide and narrow, light and dark.

    scripts/checks/page_pictures.py /tmp/pictures

Replies follow a script, so that the pictures of two versions can be held side by side. Needs
Chromium and the dev extra.
"""

import argparse
import os
import re
import sys
from pathlib import Path

from playwright.sync_api import Browser, FilePayload, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from tests.server.page.browsing import CHROMIUM, answered, box, button, visit  # noqa: E402
from tests.server.page.scripted import (  # noqa: E402
    FAIL,
    GO,
    Scripted,
    Step,
    answer,
    serving_scripts,
    thought,
)

QUESTION = "Write a Python function that merges overlapping intervals, with three tests."
THOUGHTS = """Okay, intervals to be merged. First sort by start, then only neighbours overlap.

If $a_i \\le b_{i-1}$ the two become one: $[a, \\max(b_{i-1}, b_i)]$.

Wait, what of touching intervals such as (1, 3) and (3, 5)? Most people want them merged.

Cost: sorting is $O(n \\log n)$, the pass $O(n)$. Empty input gives an empty list. Good.
"""
ANSWER = """Sort the intervals by their start; then one pass is enough.

```python
def merge(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:  # touches the last one
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
```

It takes time $T(n) = O(n \\log n)$, and

$$\\sum_{i=1}^{n} \\frac{1}{i} \\le 1 + \\int_1^n \\frac{dx}{x} = 1 + \\ln n$$

| input | result |
|---|---|
| `[(1, 3), (2, 6), (8, 10)]` | `[(1, 6), (8, 10)]` |
| `[(1, 3), (3, 5)]` | `[(1, 5)]` |

1. **Sorting** costs the most.
2. The pass keeps *one* interval open at a time.

> Use `<` instead of `<=` if touching intervals should stay apart.
"""


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*", text)


SCRIPTS: list[list[Step]] = [
    [*thought(*_words(THOUGHTS)), GO, *answer(*_words(ANSWER))],
    [*thought("Rust, then."), *answer("In Rust"), FAIL],
    [10, 20, 30, GO],
]
EARLIER = """async (titles) => {
    const { saveChat } = await import("/page/store.js");
    const { add, newChat } = await import("/page/tree.js");
    for (const [index, title] of titles.entries()) {
        const chat = newChat();
        add(chat, "", { role: "user", content: title });
        Object.assign(chat, { title, updated: Date.now() - index * 40 * 3600 * 1000 });
        if (index % 5 === 4) chat.deleted = Date.now();
        await saveChat(chat);
    }
}"""
TITLES = [
    "Was ist der Unterschied zwischen Präzision und Genauigkeit?",
    "A proof that √2 is irrational",
    "Train times",
    "Regex for ISO dates",
    "An old draft",
    "How do vaccines work?",
    "Names for a sailing boat",
]


def ask(page: Page, question: str) -> None:
    """By the button: on a touch screen Enter breaks the line."""
    box(page).fill(question)
    button(page, "Send").click()


def walk(page: Page, server: Scripted, take: "Camera") -> None:
    """Every state once, in the order in which a person meets them."""
    visit(page, server)
    page.evaluate(EARLIER, TITLES)
    visit(page, server)
    page.keyboard.press("Control+Shift+o")
    take("01-empty")
    ask(page, QUESTION)
    expect(page.locator(".thoughts")).to_contain_text("Good.")
    take("02-thinking")
    button(page, "Show all").click()
    take("03-thinking-all")
    button(page, "Three lines").click()
    server.backend.go()
    answered(page)
    take("04-answered")
    page.locator("#scroller").evaluate("it => it.scrollTop = 0")
    take("05-scrolled-up")
    page.locator(".fold").click()
    take("06-unfolded")
    button(page, "Edit").click()
    take("07-editing")
    page.get_by_label("Edit your message").fill("Write it in Rust.")
    page.get_by_label("Edit your message").press("Control+Enter")
    expect(page.locator(".error:visible")).to_be_visible()
    take("08-failed-with-versions")
    files = [
        FilePayload(name=name, mimeType="text/plain", buffer=b"text " * 300)
        for name in ("notes.md", "a-rather-long-name-of-a-table-of-figures.csv")
    ]
    page.locator("#file-input").set_input_files(files)
    expect(page.locator("#files li")).to_have_count(2)
    take("09-files")
    ask(page, "And what is in these?")
    expect(page.locator(".figures").last).to_contain_text("read")
    take("10-reading")
    button(page, "Stop").click()
    take("11-stopped")
    if not page.get_by_role("navigation").is_visible():
        button(page, "Conversations").click()
    page.get_by_text("Deleted (1)").click()
    page.locator("#chat-list li").filter(has_text="Train times").hover()
    take("12-list")
    button(page, "Delete Train times").click()
    take("13-deleted")
    page.keyboard.press("Escape")
    button(page, "Settings").click()
    take("14-settings")
    page.locator("#settings").evaluate("it => it.scrollTop = 9999")
    take("15-settings-end")


class Camera:
    """Takes pictures of one page under a name for its size and colours."""

    def __init__(self, page: Page, folder: Path, size: str) -> None:
        self._page, self._folder, self._size = page, folder, size

    def __call__(self, name: str) -> None:
        self._page.wait_for_timeout(300)  # what moves has come to rest
        self._page.screenshot(path=self._folder / f"{name}-{self._size}.png")


def take_all(browser: Browser, server: Scripted, folder: Path) -> None:
    """All states at two widths, in two colours."""
    for width, height in ((1280, 800), (390, 780)):
        for scheme in ("light", "dark"):
            server.backend.reset()
            server.backend.scripts = [list(script) for script in SCRIPTS]
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                has_touch=width < 500,
            )
            walk(page, server, Camera(page, folder, f"{width}-{scheme}"))
            page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=30_000)  # a busy machine takes its time
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with serving_scripts() as server, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        take_all(browser, server, folder)
        browser.close()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")


if __name__ == "__main__":
    main()
