"""The chat page as a person uses it: asking, stopping, going on, keeping."""

import json
from pathlib import Path
from typing import Any

import pytest

from .browsing import CHROMIUM, DARK, Served, answered, ask, free_port, visit

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


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
