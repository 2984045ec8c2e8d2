"""The chat page as a person uses it: the real server, a real browser (Chromium)."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

CHROMIUM = next(
    (path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

DARK = "rgb(25, 23, 20)"


class Served:
    """A server process and its address."""

    def __init__(self, model: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "mlx_magistral", "serve", model, "--port", str(port)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        # It says where it is when it listens, or nothing when it has ended.
        assert f"{self.url}/v1" in self._process.stdout.readline()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def nano_server() -> Iterator[Served]:
    server = Served("nano", free_port())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def endless_server(endless_model: Path) -> Iterator[Served]:
    server = Served(str(endless_model), free_port())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        # Chromium's own sandbox does not start as root, which is what a build machine often is.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh browser profile; any error on the page, or request to elsewhere, fails the test."""
    context = browser.new_context(viewport={"width": 900, "height": 700})
    context.set_default_timeout(20_000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: _note_foreign(request.url, problems))
    yield opened
    context.close()
    assert not problems


def _note_foreign(url: str, problems: list[str]) -> None:
    if not url.startswith(("http://127.0.0.1:", "blob:", "data:")):
        problems.append(f"asked {url}")


def visit(page: Page, server: Served) -> None:
    page.goto(server.url)
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Magistral")


def ask(page: Page, question: str) -> None:
    page.get_by_label("Your message").fill(question)
    page.keyboard.press("Enter")


def answered(page: Page, count: int = 1) -> None:
    """The reply number ``count`` is complete."""
    expect(page.locator(".assistant [data-action=copy]:visible")).to_have_count(count)


def test_ask_read_and_unfold_the_thinking(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    ask(page, "What is 37 + 48?")
    answered(page)
    expect(page.locator(".assistant .text math")).to_have_text("85")
    thoughts = page.locator(".thoughts")
    expect(thoughts).not_to_be_visible()
    page.get_by_text("Thought for").click()
    expect(thoughts).to_contain_text("37+48")
    expect(page.get_by_text("Thought for")).to_contain_text("tokens")
    expect(page.locator("#meter")).to_contain_text("of 2,048 tokens")


def test_the_conversation_goes_on_and_survives_a_reload(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    ask(page, "What is 37 + 48?")
    answered(page)
    ask(page, "now add 5")
    answered(page, 2)
    expect(page.locator(".assistant .text math").last).to_have_text("90")
    page.reload()
    expect(page.locator(".assistant .text math")).to_have_count(2)
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".message")).to_have_count(0)
    page.get_by_role("button", name="Chats").click()
    page.get_by_role("button", name="What is 37 + 48?", exact=True).click()
    expect(page.locator(".message")).to_have_count(4)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete What is 37 + 48?").click()
    expect(page.locator(".message")).to_have_count(0)
    page.reload()
    expect(page.locator(".message")).to_have_count(0)


def test_edit_and_try_again(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    ask(page, "What is 37 + 48?")
    answered(page)
    page.get_by_role("button", name="Try again").click()
    answered(page)
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Your message")).to_have_value("What is 37 + 48?")
    ask(page, "What is 30 + 12?")
    answered(page)
    expect(page.locator(".assistant .text math")).to_have_text("42")
    expect(page.locator(".message")).to_have_count(2)


def test_stop_keeps_what_there_is_and_continue_goes_on(page: Page, endless_server: Served) -> None:
    visit(page, endless_server)
    ask(page, "Go on for ever.")
    text = page.locator(".assistant .text")
    expect(text).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.").first).to_be_visible()
    kept = text.inner_text()
    page.reload()
    expect(text).to_have_text(kept, use_inner_text=True)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.wait_for_function(
        "length => document.querySelector('.assistant .text').innerText.length > length",
        arg=len(kept),
    )
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Continue")).to_be_visible()


def test_answer_now_ends_the_thinking(page: Page, endless_server: Served) -> None:
    visit(page, endless_server)

    def think_first(route: Any) -> None:
        body = json.loads(route.request.post_data)
        body["messages"].append({"role": "assistant", "reasoning": "Well", "prefix": True})
        route.continue_(post_data=json.dumps(body))

    page.route("**/v1/chat/completions", think_first)
    ask(page, "Think for ever.")
    page.get_by_role("button", name="Answer now").click()
    expect(page.locator(".assistant .text")).not_to_be_empty()
    expect(page.get_by_role("button", name="Answer now")).not_to_be_visible()
    page.get_by_role("button", name="Stop").click()


def test_offline_is_said_and_nothing_is_lost(page: Page) -> None:
    server = Served("nano", port := free_port())
    visit(page, server)
    server.stop()
    ask(page, "What is 37 + 48?")
    expect(page.get_by_role("alert")).to_contain_text("mlx-magistral serve")
    server = Served("nano", port)
    try:
        expect(page.get_by_role("alert")).not_to_be_visible()
        page.locator("[data-action=retry]").click()
        answered(page)
        expect(page.locator(".assistant .text math")).to_have_text("85")
    finally:
        server.stop()


def test_settings_reach_the_server_and_stay(page: Page, nano_server: Served) -> None:
    bodies: list[dict[str, Any]] = []
    page.on(
        "request",
        lambda request: bodies.append(json.loads(request.post_data)) if request.post_data else None,
    )
    visit(page, nano_server)
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System text").fill("Be brief.")
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Thinking budget").fill("0")
    page.get_by_label("Colours").select_option("dark")
    page.get_by_role("button", name="Done").click()
    expect(page.locator("body")).to_have_css("background-color", DARK)
    page.reload()
    expect(page.locator("body")).to_have_css("background-color", DARK)
    ask(page, "What is 37 + 48?")
    answered(page)
    (body,) = bodies
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["thinking_token_budget"]) == (0, 0)
    expect(page.locator(".thinking")).not_to_be_visible()


def test_dark_follows_the_system(browser: Browser, nano_server: Served) -> None:
    context = browser.new_context(color_scheme="dark")
    opened = context.new_page()
    opened.goto(nano_server.url)
    expect(opened.locator("body")).to_have_css("background-color", DARK)
    context.close()


def test_export(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    ask(page, "What is 37 + 48?")
    answered(page)
    page.get_by_role("button", name="Settings").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as Markdown").click()
    text = Path(download.value.path()).read_text("utf-8")
    assert text.startswith("# What is 37 + 48?") and "<summary>Thinking" in text and "85" in text
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as JSON").click()
    assert json.loads(Path(download.value.path()).read_text("utf-8"))["messages"][1]["finish"]


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
