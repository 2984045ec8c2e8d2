"""The chat page as a person uses it: asking, stopping, going on, keeping, on the real server."""

import json
from pathlib import Path
from typing import Any

import pytest

from .browsing import CHROMIUM, DARK, Served, answered, ask, box, button, replies, visit
from .scripted import Scripted, serving_scripts

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, Route, expect  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def test_ask_read_and_unfold_the_thinking(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    ask(page, "What is 37 + 48?")
    answered(page)
    expect(page.locator(".assistant .text math")).to_have_text("85")
    expect(page.locator(".thoughts")).not_to_be_visible()
    page.get_by_text("Thought for").click()
    expect(page.locator(".thoughts")).to_contain_text("37+48")
    expect(page.get_by_text("Thought for")).to_contain_text("tokens")
    expect(page.locator(".figures")).to_contain_text("tok/s")
    expect(page.locator("#meter")).to_contain_text("of 2,048 tokens")


def test_an_empty_conversation_offers_questions_that_this_model_answers(
    page: Page, nano_server: Served
) -> None:
    # They are this model's as soon as its name is shown, whatever else is still asked for.
    page.route("**/mcp/tools", lambda route: held.append(route))
    held: list[Route] = []
    visit(page, nano_server)
    examples = page.locator("#examples button")
    expect(examples.first).to_have_text("What is 37 + 48?")
    held[0].continue_()
    expect(examples).to_have_count(4)
    answers = []
    for number in range(4):
        examples.nth(number).click()
        answered(page)
        expect(page.locator("#welcome")).not_to_be_visible()
        answers.append(page.locator(".assistant .text math").text_content())
        page.keyboard.press("Control+Shift+o")
    assert answers == ["85", "9", "3", "85"]


def test_the_conversation_goes_on_and_survives_a_reload(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    ask(page, "What is 37 + 48?")
    answered(page)
    ask(page, "now add 5")
    answered(page, 2)
    expect(page.locator(".assistant .text math").last).to_have_text("90")
    page.reload()
    expect(page.locator(".assistant .text math")).to_have_count(2)
    expect(page.locator(".figures").last).to_contain_text("tokens")


def test_stop_keeps_what_there_is_and_continue_goes_on(page: Page, endless_server: Served) -> None:
    visit(page, endless_server)
    ask(page, "Go on for ever.")
    text = page.locator(".assistant .text")
    expect(text).not_to_be_empty()
    button(page, "Stop").click()
    figures = page.locator(".figures")
    expect(figures).to_contain_text("Stopped.")
    expect(figures).to_contain_text("tok/s")
    kept = text.inner_text()
    page.reload()
    expect(text).to_have_text(kept, use_inner_text=True)
    button(page, "Continue").click()
    expect(button(page, "Stop")).to_be_visible()
    page.wait_for_function(
        "length => document.querySelector('.assistant .text').innerText.length > length",
        arg=len(kept),
    )
    page.keyboard.press("Escape")
    expect(button(page, "Continue")).to_be_visible()


def test_answer_now_ends_the_thinking(page: Page, endless_server: Served) -> None:
    visit(page, endless_server)

    def think_first(route: Any) -> None:
        body = json.loads(route.request.post_data)
        body["messages"].append({"role": "assistant", "reasoning": "Well", "prefix": True})
        route.continue_(post_data=json.dumps(body))

    page.route("**/v1/chat/completions", think_first)
    ask(page, "Think for ever.")
    button(page, "Answer now").click()
    expect(page.locator(".assistant .text")).not_to_be_empty()
    expect(button(page, "Answer now")).not_to_be_visible()
    button(page, "Stop").click()


def test_offline_is_said_once_with_one_retry_and_nothing_is_lost(page: Page) -> None:
    with serving_scripts() as server:
        visit(page, server)
        port = int(server.url.rpartition(":")[2])
    ask(page, "one")
    alerts = page.locator("[role=alert]:visible")
    expect(alerts).to_have_count(1)
    expect(alerts).to_contain_text("mlx-magistral serve")
    expect(page.get_by_role("button", name="Try again")).to_have_count(1)
    with serving_scripts(port):
        alerts.get_by_role("button").click()
        answered(page)
        expect(replies(page).locator(".text")).to_have_text("It is 7.")
        expect(alerts).to_have_count(0)
        expect(page.locator(".versions")).to_have_count(0)


def test_a_page_without_its_server_comes_back_by_itself(page: Page) -> None:
    with serving_scripts() as server:
        visit(page, server)
        port = int(server.url.rpartition(":")[2])
    button(page, "Settings").click()
    button(page, "Done").click()
    expect(page.locator("#notice")).to_contain_text("The server cannot be reached.")
    with serving_scripts(port):
        expect(page.locator("#notice")).not_to_be_visible()


def test_a_key_is_asked_for_where_it_is_missing(page: Page) -> None:
    with serving_scripts(api_key="secret") as server:
        page.goto(server.url)
        page.locator("#notice").get_by_role("button", name="Enter it").click()
        page.keyboard.type("wrong")
        button(page, "Done").click()
        expect(page.locator("#notice")).to_contain_text("asks for an API key")
        ask(page, "one")
        expect(page.get_by_label("API key")).to_be_focused()
        page.get_by_label("API key").fill("secret")
        button(page, "Done").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("scripted")
        expect(page.locator("#notice")).not_to_be_visible()
        button(page, "Try again").click()
        answered(page)


def test_settings_reach_the_server_and_stay(page: Page, nano_server: Served) -> None:
    bodies: list[dict[str, Any]] = []
    page.on(
        "request",
        lambda request: bodies.append(json.loads(request.post_data)) if request.post_data else None,
    )
    visit(page, nano_server)
    button(page, "Settings").click()
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Thinking budget").fill("0")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Colours").select_option("dark")
    button(page, "Done").click()
    expect(page.locator("body")).to_have_css("background-color", DARK)
    page.reload()
    expect(page.locator("body")).to_have_css("background-color", DARK)
    ask(page, "What is 37 + 48?")
    answered(page)
    (body,) = bodies
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["thinking_token_budget"], body["seed"]) == (0, 0, 7)
    expect(page.locator(".thinking")).not_to_be_visible()


def test_the_model_is_shown_with_its_memory_and_context(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    button(page, "Settings").click()
    facts = page.locator("#model-facts")
    for text in ("nano", "2,048 tokens", "Weights", "2.5 MB", "Memory in all"):
        expect(facts).to_contain_text(text)


def test_where_several_models_are_served_one_is_chosen_and_remembered(
    page: Page, scripted: Scripted
) -> None:
    scripted.backend.model_names = ("scripted", "scripted:poet")
    visit(page, scripted)
    button(page, "Settings").click()
    page.get_by_label("Who answers").select_option("scripted:poet")
    button(page, "Done").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("scripted:poet")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("scripted:poet")
    with page.expect_request("**/v1/chat/completions") as asked:
        ask(page, "one")
    assert json.loads(asked.value.post_data or "")["model"] == "scripted:poet"
    answered(page)


def test_export_and_import(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    ask(page, "What is 37 + 48?")
    answered(page)
    button(page, "Try again").click()
    answered(page)
    button(page, "Settings").click()

    def exported(kind: str) -> Path:
        with page.expect_download() as download:
            button(page, f"Export as {kind}").click()
        return Path(download.value.path())

    text = exported("Markdown").read_text("utf-8")
    assert text.startswith("# What is 37 + 48?") and "<summary>Thinking" in text and "85" in text
    whole = exported("JSON")
    kept = json.loads(whole.read_text("utf-8"))["messages"].values()
    assert [message["role"] for message in kept].count("assistant") == 2
    page.locator("#import-input").set_input_files(whole)
    expect(page.locator("#chat-list li")).to_have_count(2)
    expect(page.locator(".versions")).to_contain_text("2/2")
    expect(replies(page).locator("math")).to_have_text("85")


def test_a_file_that_is_no_conversation_is_refused(page: Page, scripted: Scripted) -> None:
    said = {"id": "a", "parent": "", "role": "user", "content": "x"}
    visit(page, scripted)
    for wrong in (
        "{",
        "[]",
        {"title": "x", "messages": {"a": {**said, "content": 1}}, "chosen": {}},
        {"title": "x", "messages": {"a": {**said, "parent": "a"}}, "chosen": {}},
        {"title": "x", "messages": {"a": said}, "chosen": {"a": "a", "": "a"}},
        {"title": "x", "messages": {"a": {**said, "files": [{"name": "x"}]}}, "chosen": {}},
    ):
        text = wrong if isinstance(wrong, str) else json.dumps(wrong)
        page.locator("#import-input").set_input_files(
            {"name": "x.json", "mimeType": "application/json", "buffer": text.encode()}
        )
        expect(page.locator("#notice")).to_contain_text("no conversation that was exported")
        page.locator("#notice-close").click()
        expect(page.locator("#notice")).not_to_be_visible()
    expect(page.locator("#chat-list li")).to_have_count(0)


def test_a_draft_survives_a_reload(page: Page, nano_server: Served) -> None:
    visit(page, nano_server)
    box(page).fill("half a quest")
    page.reload()
    expect(box(page)).to_have_value("half a quest")
