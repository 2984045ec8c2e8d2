"""A saved conversation: one file, drawn as the page draws it, that asks nobody for anything."""

from pathlib import Path

import pytest

from mlx_magistral.events import FinishReason, Reply, Timings, ToolCall, Usage
from mlx_magistral.terminal.saving import Exchange, save_exchanges, save_reply

from .browsing import CHROMIUM, DARK, answered, ask, button, visit
from .scripted import Scripted, answer, thought

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

TEXT = """It is $\\frac12$ of **7**.

```python
print("</script><script>window.hit = 1</script>")
```

%%MESSAGES%% <!-- <script>window.hit = 1</script>
"""
REPLY = Reply(
    model="nano",
    reasoning="3 < 4\nso 7",
    content=TEXT,
    finish_reason=FinishReason.STOP,
    usage=Usage(5, 90, 40),
    timings=Timings(0.1, 0.2, 25.0, 10.0, 1000, reasoning_s=4.0),
    tool_calls=[ToolCall("id0", "add", '{"a": 3}')],
)


def opened(page: Page, path: Path) -> list[str]:
    """Open a file; the answer lists what it asked for, itself included."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    return asked


@pytest.fixture
def loose_page(browser: Browser) -> Page:
    """A page that may open files."""
    context = browser.new_context(viewport={"width": 900, "height": 700})
    return context.new_page()


def test_a_saved_reply_is_drawn_like_the_page(loose_page: Page, tmp_path: Path) -> None:
    page = loose_page
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    save_reply(REPLY, "3 + </title> 4?", tmp_path / "r.html")
    assert opened(page, tmp_path / "r.html") == [(tmp_path / "r.html").as_uri()]
    expect(page.get_by_role("heading", level=1)).to_have_text("3 + </title> 4?")
    expect(page.locator(".user .text")).to_have_text("3 + </title> 4?")
    expect(page.locator(".text math mfrac")).to_have_count(1)
    expect(page.locator(".code-head span")).to_have_text("python")
    expect(page.locator(".hljs-string")).to_contain_text("</script>")
    expect(page.locator(".assistant .text")).to_contain_text("%%MESSAGES%% <!-- <script>")
    expect(page.locator(".call")).to_contain_text('add {"a": 3}')
    expect(page.locator(".figures")).to_have_text("9.1 s · 90 tokens · 10 tok/s")
    expect(page.locator(".thoughts")).not_to_be_visible()
    page.get_by_text("Thought for 4.0 s, 40 tokens").click()
    expect(page.locator(".thoughts")).to_have_text("3 < 4\nso 7", use_inner_text=True)
    assert page.evaluate("window.hit") is None and problems == []
    page.emulate_media(color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", DARK)
    page.set_viewport_size({"width": 390, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.context.close()


def test_code_in_a_saved_reply_is_copied(loose_page: Page, tmp_path: Path) -> None:
    save_reply(REPLY, "?", tmp_path / "r.html")
    opened(loose_page, tmp_path / "r.html")
    copy = loose_page.locator(".copy-code")
    copy.click()
    expect(copy).to_have_text("Copied")
    loose_page.context.close()


def test_without_scripts_it_is_read_as_text(browser: Browser, tmp_path: Path) -> None:
    exchanges = [Exchange("one?", [REPLY], {"id0": "3"}), Exchange("two?", [REPLY])]
    save_exchanges(exchanges, "Two questions", tmp_path / "r.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    opened(page, tmp_path / "r.html")
    expect(page.locator("body")).to_contain_text("so 7")
    expect(page.locator("body")).to_contain_text("two?")
    context.close()


def test_the_page_exports_the_same_file(page: Page, scripted: Scripted, tmp_path: Path) -> None:
    scripted.backend.scripts = [[*thought("3 < 4"), *answer(TEXT)]]
    visit(page, scripted)
    ask(page, "<b>&amp; $& $1 3 + 4?")
    answered(page)
    on_page = page.locator(".assistant .text").inner_html()
    button(page, "Settings").click()
    with page.expect_download() as download:
        button(page, "Export as HTML").click()
    path = tmp_path / download.value.suggested_filename
    assert path.name == "b-amp-1-3-4.html"
    download.value.save_as(path)
    assert len(opened(page, path)) == 1
    expect(page.get_by_role("heading", level=1)).to_have_text("<b>&amp; $& $1 3 + 4?")
    assert page.locator(".assistant .text").inner_html() == on_page
    assert page.evaluate("window.hit") is None
