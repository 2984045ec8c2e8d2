"""How the page looks, reads and is reached: dark, narrow, by keyboard, hostile and rich text."""

import pytest

from .browsing import CHROMIUM, DARK, answered, ask, box, button, visit
from .scripted import FAIL, GO, Scripted, answer, thought

playwright = pytest.importorskip("playwright.sync_api")
axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import Browser, Page, expect  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

HOSTILE = """<script>window.hit = 1</script> <img src=x onerror="window.hit = 1">
![p](http://example.invalid/p.png) [link](javascript:window.hit=1)
$\\href{javascript:window.hit=1}{x}$
```<img src=x onerror="window.hit=1">
<img src=x onerror="window.hit = 1">
```
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

> quoted
"""
LONG_WORDS = f"""Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz and {"x" * 200}

`{"code" * 40}` and <{"https://example.invalid/" + "path/" * 30}>

| {" | ".join(f"column {n}" for n in range(9))} |
|{"---|" * 9}
| {" | ".join("a word" for _ in range(9))} |

$$ {" + ".join(f"x_{{{n}}}^2" for n in range(40))} $$

```text
{"a long line of code " * 12}
```
"""
# What reaches out of the window.
OUTSIDE = """[...document.querySelectorAll("button, input, textarea, h1, p")].filter((one) => {
    const { left, right, width } = one.getBoundingClientRect();
    return width && !one.closest("#file-input, .skip, .visually-hidden")
        && (left < 0 || right > innerWidth);
}).map((one) => one.outerHTML.slice(0, 100))"""
# Buttons whose label does not stand on one line.
BROKEN = """[...document.querySelectorAll(".tools button, #composer button")].filter(
    (one) => one.getBoundingClientRect().height > 48).map((one) => one.outerHTML)"""


def render(page: Page, text: str) -> None:
    """Into a place of its own: the page draws its conversation when it likes."""
    page.evaluate(
        """async (text) => {
            const { renderInto } = await import("/page/markdown.js");
            let place = document.querySelector("main #rendered");
            if (place === null) {
                place = document.createElement("div");
                place.id = "rendered";
                document.querySelector("main").append(place);
            }
            renderInto(place, text);
        }""",
        text,
    )


def violations(page: Page) -> list[str]:
    """What axe-core finds, by rule and place; all of its rules, best practices included."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:120]}" for each in found for node in each["nodes"]]


def test_what_the_model_writes_cannot_act(page: Page, scripted: Scripted) -> None:
    scripted.backend.scripts = [[*thought(HOSTILE), *answer(HOSTILE)]]
    visit(page, scripted)
    ask(page, HOSTILE)
    answered(page)
    page.locator(".fold").click()
    expect(page.locator(".assistant .text")).to_contain_text("<script>")
    forbidden = "#messages :is(img, script, a[href^=javascript], [onerror])"
    assert page.locator(forbidden).count() == 0
    assert page.evaluate("window.hit") is None


def test_markdown_latex_and_code(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    render(page, RICH)
    main = page.locator("main")
    expect(main.locator("math[display=block] mfrac")).to_have_count(1)
    expect(main.locator("p math")).to_have_count(2)
    expect(main).to_contain_text("It costs $5 and $6")
    expect(main.locator("td math")).to_have_count(1)
    expect(main.locator("pre code")).to_have_text('print("<b>")\n')


def test_latex_that_is_wrong_stays_as_written(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    for source in ("$\\nonsense{x}$", "$\\frac{1$", "\\(a & b\\)", "$$\\left( x$$"):
        render(page, f"so {source} is")
        expect(page.locator("#rendered p")).to_have_text(f"so {source} is")
        render(page, source)
        expect(page.locator("#rendered")).to_have_text(source)


def test_a_text_that_grows_looks_as_when_it_came_whole(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    grown, whole = page.evaluate(
        """async (text) => {
            const { GrowingText, renderInto } = await import("/page/markdown.js");
            const [grown, whole] = [document.createElement("div"), document.createElement("div")];
            const growing = new GrowingText(grown);
            for (let end = 0; end <= text.length; end += 1) growing.update(text.slice(0, end));
            renderInto(whole, text);
            return [grown.innerHTML, whole.innerHTML];
        }""",
        RICH,
    )
    assert grown == whole


def test_a_phone_shows_everything_and_breaks_no_words(page: Page, scripted: Scripted) -> None:
    page.set_viewport_size({"width": 390, "height": 640})
    scripted.backend.scripts = [[*thought("Hm. "), *answer(LONG_WORDS)], answer("Shorter.")]
    visit(page, scripted)
    ask(page, LONG_WORDS)
    answered(page)
    button(page, "Try again").click()
    answered(page)
    button(page, "Previous version").click()
    ask(page, "next")
    answered(page, 2)
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OUTSIDE) == []
        assert page.evaluate(BROKEN) == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_in_any_state(
    browser: Browser, scripted: Scripted, scheme: str, width: int
) -> None:
    scripted.backend.scripts = [
        [*thought("Hm. " * 60), GO, *answer(RICH), GO, *answer("End.")],
        [*answer("No"), FAIL],
    ]
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    page = context.new_page()
    found: list[str] = []

    def check(state: str) -> None:
        found.extend(f"{state}: {each}" for each in violations(page))

    visit(page, scripted)
    check("empty")
    ask(page, "one")
    expect(button(page, "Answer now")).to_be_visible()
    check("thinking")
    scripted.backend.go()
    expect(page.locator(".assistant table")).to_be_visible()
    scripted.backend.go()
    answered(page)
    page.locator(".fold").click()
    check("answered")
    button(page, "Edit").click()
    check("editing")
    page.get_by_label("Edit your message").press("Control+Enter")
    expect(page.locator(".error:visible")).to_have_count(1)
    check("failed, with versions")
    if width < 900:
        button(page, "Conversations").click()
    page.locator("#chat-list li").hover()
    check("the list")
    button(page, "Delete one").click()
    page.get_by_text("Deleted (1)").click()
    check("deleted")
    if width < 900:
        page.keyboard.press("Escape")
    button(page, "Settings").click()
    check("settings")
    context.close()
    assert found == []


def test_keyboard_alone_and_names_for_a_screen_reader(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    expect(box(page)).to_be_focused()
    page.keyboard.type("What is it?")
    page.keyboard.press("Enter")
    answered(page)
    expect(box(page)).to_be_focused()
    page.locator(".fold").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".thoughts")).to_be_visible()
    page.keyboard.press("Control+Shift+o")
    expect(page.locator(".message")).to_have_count(0)
    expect(box(page)).to_be_focused()
    assert page.get_by_role("navigation").count() == page.get_by_role("banner").count() == 1
    assert page.get_by_role("main").count() == 1


def test_on_a_touch_screen_enter_breaks_the_line(browser: Browser, scripted: Scripted) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True
    )
    opened = context.new_page()
    visit(opened, scripted)
    box(opened).press_sequentially("a")
    box(opened).press("Enter")
    expect(box(opened)).to_have_value("a\n")
    button(opened, "Send").tap()
    answered(opened)
    context.close()


def test_dark_follows_the_system_and_motion_can_be_still(
    browser: Browser, scripted: Scripted
) -> None:
    scripted.backend.scripts = [[*thought("Hm. "), GO]]
    context = browser.new_context(color_scheme="dark", reduced_motion="reduce")
    opened = context.new_page()
    visit(opened, scripted)
    expect(opened.locator("body")).to_have_css("background-color", DARK)
    ask(opened, "one")
    expect(opened.locator(".running")).to_be_visible()
    assert opened.evaluate("document.getAnimations().length") == 0
    context.close()
