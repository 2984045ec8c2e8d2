"""How the page looks, reads and is reached: dark, narrow, by keyboard, hostile and rich text."""

import pytest

from .browsing import CHROMIUM, DARK, Served, answered, ask, visit

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

HOSTILE = """<script>window.hit = 1</script> <img src=x onerror="window.hit = 1">
![p](http://example.invalid/p.png) [link](javascript:window.hit=1)
$\\href{javascript:window.hit=1}{x}$
"""
RICH = """$$
\\int_0^1 x\\,dx

= \\frac12
$$

It costs $5 and $6, with \\(a<b\\) and $x$.

| a | b |
|---|---|
| 1 | $y$ |

```python
print("<b>")
```
"""


def render(page: Page, text: str) -> None:
    page.evaluate(
        """async (text) => {
            const { renderInto } = await import("/page/markdown.js");
            renderInto(document.querySelector("main"), text);
        }""",
        text,
    )


def test_what_the_model_writes_cannot_act(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    render(page, HOSTILE)
    expect(page.locator("main")).to_contain_text("<script>")
    assert page.locator("main img, main script, main a[href^=javascript]").count() == 0
    assert page.evaluate("window.hit") is None


def test_markdown_latex_and_code(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    render(page, RICH)
    main = page.locator("main")
    expect(main.locator("math[display=block] mfrac")).to_have_count(1)
    expect(main.locator("p math")).to_have_count(2)
    expect(main).to_contain_text("It costs $5 and $6")
    expect(main.locator("td math")).to_have_count(1)
    expect(main.locator("pre code")).to_have_text('print("<b>")\n')


@pytest.mark.parametrize("width", [320, 390])
def test_fits_a_telephone(page: Page, nano_server: Served, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 640})
    visit(page, nano_server)
    ask(page, "What is 37 + 48?")
    answered(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_keyboard_alone_and_names_for_a_screen_reader(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    expect(page.get_by_label("Your message")).to_be_focused()
    page.keyboard.type("What is 37 + 48?")
    page.keyboard.press("Enter")
    answered(page)
    expect(page.get_by_role("status")).to_have_text("The answer is complete.")
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".thoughts")).to_be_visible()
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select, textarea")].filter(
            (one) => !one.textContent.trim() && !one.labels?.length
                && !one.getAttribute("aria-label")).length"""
    )
    assert unnamed == 0


def test_dark_follows_the_system(browser: Browser, nano_server: Served) -> None:
    context = browser.new_context(color_scheme="dark")
    opened = context.new_page()
    opened.goto(nano_server.url)
    expect(opened.locator("body")).to_have_css("background-color", DARK)
    context.close()
