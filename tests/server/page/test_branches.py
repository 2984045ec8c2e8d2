"""Editing and trying again: branches that go on from each other, and nothing that is lost."""

import pytest

from .browsing import CHROMIUM, answered, ask, box, button, replies, visit
from .scripted import FAIL, GO, Scripted, answer, thought

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def edit(page: Page, text: str) -> None:
    button(page, "Edit").first.click()
    page.get_by_label("Edit your message").fill(text)
    page.locator(".editing").get_by_role("button", name="Send").click()


def test_an_edit_is_a_branch_and_the_old_one_comes_back_after_a_reload(
    page: Page, scripted: Scripted
) -> None:
    scripted.backend.scripts = [answer("First."), answer("Second."), answer("Third.")]
    visit(page, scripted)
    ask(page, "one")
    answered(page)
    ask(page, "more")
    answered(page, 2)
    edit(page, "two")
    answered(page, 1)
    expect(replies(page)).to_contain_text("Third.")
    # The other branch is no part of what the model is asked.
    assert [each["content"] for each in scripted.backend.requests[-1].messages or ()] == ["two"]
    page.reload()
    expect(page.locator(".user .text")).to_have_text("two")
    expect(page.get_by_role("group", name="Version 2 of 2")).to_be_visible()
    button(page, "Previous version").click()
    expect(page.locator(".user .text")).to_have_text(["one", "more"])
    expect(replies(page).locator(".text")).to_have_text(["First.", "Second."])


def test_another_try_keeps_the_first(page: Page, scripted: Scripted) -> None:
    scripted.backend.scripts = [answer("First."), answer("Second."), answer("Third.")]
    visit(page, scripted)
    ask(page, "one")
    answered(page)
    ask(page, "and then?")
    answered(page, 2)
    button(page, "Try again").first.click()  # of the first reply, in the middle
    answered(page, 1)
    expect(replies(page)).to_contain_text("Third.")
    button(page, "Previous version").click()
    expect(replies(page).locator(".text")).to_have_text(["First.", "Second."])
    expect(button(page, "Next version")).to_be_focused()
    page.keyboard.press("Enter")
    expect(replies(page)).to_contain_text("Third.")


def test_an_edit_that_is_given_up_changes_nothing(page: Page, scripted: Scripted) -> None:
    visit(page, scripted)
    ask(page, "one")
    answered(page)
    expect(box(page)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Edit your message")).to_be_focused()
    page.keyboard.type(" and a half")
    page.keyboard.press("Escape")
    expect(page.locator(".user .text")).to_have_text("one")
    expect(page.locator(".versions")).to_have_count(0)
    assert len(scripted.backend.requests) == 1


def test_a_failed_reply_goes_on_where_it_was_cut_with_one_button(
    page: Page, scripted: Scripted
) -> None:
    scripted.backend.scripts = [[*thought("Hm. "), *answer("It "), FAIL], answer("works.")]
    visit(page, scripted)
    ask(page, "one")
    error = page.locator("[role=alert]:visible")
    expect(error).to_have_count(1)
    expect(page.locator(".assistant .tools button")).to_have_text(["Copy"])
    error.get_by_role("button").click()
    answered(page)
    expect(replies(page).locator(".text")).to_have_text("It works.")
    expect(page.locator(".versions")).to_have_count(0)
    last = (scripted.backend.requests[-1].messages or ())[-1]
    assert last == {"role": "assistant", "prefix": True, "reasoning": "Hm. ", "content": "It "}


def test_a_refused_question_is_asked_again_in_its_place(page: Page, scripted: Scripted) -> None:
    scripted.backend.scripts = [[FAIL], answer("Here.")]
    visit(page, scripted)
    ask(page, "one")
    page.locator(".error").get_by_role("button", name="Try again").click()
    answered(page)
    expect(replies(page).locator(".text")).to_have_text("Here.")
    expect(page.locator(".versions")).to_have_count(0)


def test_another_conversation_leaves_the_reply_running(page: Page, scripted: Scripted) -> None:
    scripted.backend.scripts = [[*answer("Be"), GO, *answer("gun")], answer("Other.")]
    visit(page, scripted)
    ask(page, "one")
    expect(replies(page)).to_contain_text("Be")
    page.get_by_role("navigation").get_by_role("button", name="New chat").click()
    ask(page, "two")
    answered(page)
    scripted.backend.go()
    expect(page.locator(".live")).to_have_count(0)
    page.get_by_role("navigation").get_by_role("button", name="one", exact=True).click()
    expect(replies(page).locator(".text")).to_have_text("Begun")
