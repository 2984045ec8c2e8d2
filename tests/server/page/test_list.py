"""The list of conversations: by date, found, renamed, deleted, restored; other tabs; a phone."""

import re

import pytest

from .browsing import CHROMIUM, answered, ask, button, replies, visit
from .scripted import GO, Scripted, answer

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Locator, Page, expect  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

# Puts conversations into the browser's database: [title, days ago, what was said].
FILL = """async (chats) => {
    const { saveChat } = await import("/page/store.js");
    const { add, newChat } = await import("/page/tree.js");
    for (const [title, days, content] of chats) {
        const chat = newChat();
        add(chat, "", { role: "user", content });
        Object.assign(chat, { title, updated: Date.now() - days * 24 * 3600 * 1000 });
        await saveChat(chat);
    }
}"""


def names(page: Page) -> Locator:
    return page.locator("#chat-list .chat-title > span")


def test_conversations_stand_under_their_dates_newest_first(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    page.evaluate(FILL, [["old", 400, "x"], ["week", 4, "y"], ["day", 1, "z"], ["now", 0, "w"]])
    page.reload()
    expect(names(page)).to_have_text(["now", "day", "week", "old"])
    heads = page.locator("#chat-list h2")
    expect(heads).to_have_text(["Today", "Yesterday", "Last 7 days", re.compile(r"\w+ 20\d\d")])


def test_search_finds_titles_and_what_was_said(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    page.evaluate(FILL, [["Boats", 0, "a long sail"], ["Cars", 0, "by road"]])
    page.reload()
    expect(names(page)).to_have_count(2)
    page.keyboard.press("Control+k")
    expect(page.get_by_label("Search in conversations")).to_be_focused()
    page.keyboard.type("SAIL")
    expect(names(page)).to_have_text(["Boats"])
    expect(page.locator("#chat-list small")).to_contain_text("a long sail")
    page.get_by_label("Search in conversations").fill("plane")
    expect(page.get_by_text("Nothing has this word.")).to_be_visible()


def test_renaming_by_keyboard(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    ask(page, "one")
    answered(page)
    button(page, "Rename one").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Name of the conversation").fill("My thesis")
    page.keyboard.press("Enter")
    expect(names(page)).to_have_text(["My thesis"])
    ask(page, "two")
    answered(page, 2)
    page.reload()
    expect(names(page)).to_have_text(["My thesis"])


def test_a_deleted_conversation_comes_back_at_once_or_later(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    ask(page, "one")
    answered(page)
    page.locator("#chat-list li").hover()
    button(page, "Delete one").click()
    expect(page.locator(".message")).to_have_count(0)
    page.locator("#toast").get_by_role("button", name="Undo").click()
    expect(names(page)).to_have_text(["one"])
    expect(replies(page)).to_contain_text("It is 7.")
    page.locator("#chat-list li").hover()
    button(page, "Delete one").click()
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-ready", "")
    expect(names(page)).to_have_count(0)
    page.get_by_text("Deleted (1)").click()
    button(page, "Restore one").click()
    expect(replies(page)).to_contain_text("It is 7.")
    page.reload()
    expect(names(page)).to_have_text(["one"])


def test_forgetting_is_asked_about(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    ask(page, "one")
    answered(page)
    page.locator("#chat-list li").hover()
    button(page, "Delete one").click()
    page.get_by_text("Deleted (1)").click()
    page.once("dialog", lambda dialog: dialog.dismiss())
    button(page, "Forget one").click()
    expect(page.get_by_text("Deleted (1)")).to_be_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    button(page, "Forget one").click()
    expect(page.get_by_text("Deleted (1)")).not_to_be_visible()


def test_two_tabs_keep_what_each_has_said(page: Page, scripted: Scripted) -> None:
    scripted.backend.scripts = [answer("First."), answer("Second."), answer("Third.")]
    visit(page, scripted)
    ask(page, "one")
    answered(page)
    other = page.context.new_page()
    visit(other, scripted)
    expect(replies(other)).to_have_count(1)
    ask(other, "from the other")
    answered(other, 2)
    expect(replies(page)).to_have_count(2)  # seen here without a reload
    button(page, "Try again").first.click()
    answered(page)
    expect(replies(page)).to_contain_text("Third.")
    page.reload()
    button(page, "Previous version").click()
    expect(replies(page).locator(".text")).to_have_text(["First.", "Second."])


def test_an_old_copy_in_another_tab_takes_nothing_back(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    contents = page.evaluate(
        """async () => {
            const { loadChat, saveChat } = await import("/page/store.js");
            const { add, newChat } = await import("/page/tree.js");
            const chat = newChat();
            const message = add(chat, "", { role: "assistant", content: "begun" });
            const old = structuredClone(chat);
            Object.assign(message, { content: "begun and ended", changed: message.changed + 1 });
            await saveChat(chat);
            await saveChat(old);
            return Object.values((await loadChat(chat.id)).messages).map((each) => each.content);
        }"""
    )
    assert contents == ["begun and ended"]


def test_chats_of_the_plain_list_are_taken_over_once(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    page.evaluate(
        """localStorage.setItem("mlx-magistral.chats", JSON.stringify([{id: "a", title: "Old one",
        messages: [{role: "user", content: "hello"},
                   {role: "assistant", reasoning: "hm", content: "Hi.", finish: "stop"}]}]))"""
    )
    for _ in range(2):
        page.reload()
        expect(names(page)).to_have_text(["Old one"])
        expect(replies(page).locator(".text")).to_have_text("Hi.")


def test_a_browser_that_keeps_nothing_is_said(own_page: Page, scripted: Scripted) -> None:
    page = own_page
    page.add_init_script("IDBFactory.prototype.open = () => { throw new Error('It is off'); }")
    visit(page, scripted)
    expect(page.locator("#notice")).to_contain_text("keeps no conversations (It is off)")
    ask(page, "one")
    answered(page)
    with page.expect_download():
        button(page, "Export this one").click()


def test_a_full_disk_is_said_and_the_reply_stays_on_the_page(
    own_page: Page, scripted: Scripted
) -> None:
    page = own_page
    page.add_init_script(
        """IDBObjectStore.prototype.put = () => {
            throw new DOMException("full", "QuotaExceededError"); }"""
    )
    visit(page, scripted)
    ask(page, "one")
    answered(page)
    expect(page.locator("#notice")).to_contain_text("storage is full")
    expect(replies(page)).to_contain_text("It is 7.")


def test_on_a_phone_the_list_is_a_drawer(page: Page, scripted: Scripted) -> None:
    page.set_viewport_size({"width": 390, "height": 700})
    visit(page, scripted)
    sidebar, toggle = page.get_by_role("navigation"), button(page, "Conversations")
    expect(sidebar).not_to_be_visible()
    ask(page, "one")
    answered(page)
    toggle.click()
    expect(sidebar).to_be_visible()
    expect(button(page, "Close the list")).to_be_focused()
    assert page.evaluate("document.querySelector('#stage').inert")
    page.keyboard.press("Escape")
    expect(sidebar).not_to_be_visible()
    expect(toggle).to_be_focused()
    toggle.click()
    sidebar.get_by_role("button", name="one", exact=True).click()
    expect(sidebar).not_to_be_visible()
    toggle.click()
    page.locator("#chat-list li").hover()
    button(page, "Delete one").click()
    expect(button(page, "Undo")).to_be_focused()
    page.keyboard.press("Escape")
    expect(sidebar).not_to_be_visible()


def test_a_running_reply_is_marked_and_a_deleted_one_is_stopped(
    page: Page, scripted: Scripted
) -> None:
    scripted.backend.scripts = [[*answer("Be"), GO, *answer("gun")]]
    visit(page, scripted)
    ask(page, "one")
    expect(page.locator(".live")).to_have_text("Replying")
    page.locator("#chat-list li").hover()
    button(page, "Delete one").click()
    page.locator("#toast").get_by_role("button", name="Undo").click()
    expect(replies(page).locator(".figures")).to_contain_text("Stopped.")
    expect(replies(page).locator(".text")).to_have_text("Be")
