"""What is seen of a reply while it comes: its thinking, its figures, and where the page scrolls."""

import pytest

from .browsing import CHROMIUM, answered, ask, button, replies, visit
from .scripted import GO, Scripted, answer, thought

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

LONG = [f"Step {number} of many.\n\n" for number in range(40)]


def test_thinking_is_open_at_its_last_three_lines_and_folds_when_the_answer_begins(
    page: Page, scripted: Scripted
) -> None:
    scripted.backend.scripts = [[*thought(*LONG), GO, *answer("So."), GO, *answer(" Done.")]]
    visit(page, scripted)
    ask(page, "one")
    thoughts = page.locator(".thoughts")
    expect(thoughts).to_contain_text("Step 39")
    assert thoughts.bounding_box()["height"] < 100  # type: ignore[index]
    expect(page.get_by_text("Step 39")).to_be_in_viewport()
    expect(page.get_by_text("Step 30")).not_to_be_in_viewport()
    scripted.backend.go()
    expect(replies(page)).to_contain_text("So.")
    expect(thoughts).not_to_be_visible()
    scripted.backend.go()
    answered(page)
    page.get_by_text("Thought for").click()
    assert thoughts.bounding_box()["height"] > 1000  # type: ignore[index]


def test_showing_all_of_the_thinking_is_remembered(page: Page, scripted: Scripted) -> None:
    scripted.backend.scripts = [[*thought(*LONG), GO, *answer("So.")]]
    visit(page, scripted)
    ask(page, "one")
    button(page, "Show all").click()
    expect(button(page, "Three lines")).to_be_visible()
    assert page.locator(".thoughts").bounding_box()["height"] > 1000  # type: ignore[index]
    scripted.backend.go()
    answered(page)
    expect(page.locator(".thoughts")).not_to_be_visible()
    page.reload()
    ask(page, "two")
    expect(button(page, "Three lines")).to_be_visible()
    scripted.backend.go()
    answered(page, 2)


def test_who_folds_or_unfolds_the_thinking_has_the_last_word(
    page: Page, scripted: Scripted
) -> None:
    scripted.backend.scripts = [[*thought("Hm. "), GO, *answer("So."), GO, *answer(" Done.")]]
    visit(page, scripted)
    ask(page, "one")
    fold = page.locator(".fold")
    fold.click()
    expect(page.locator(".thoughts")).not_to_be_visible()
    fold.click()
    scripted.backend.go()
    expect(replies(page)).to_contain_text("So.")
    expect(page.locator(".thoughts")).to_be_visible()
    scripted.backend.go()


def test_figures_go_on_while_it_runs_and_stay_after_a_stop(page: Page, scripted: Scripted) -> None:
    scripted.backend.scripts = [[10, GO, *thought("a ", "b ", "c "), GO, *answer("d", "e"), GO]]
    visit(page, scripted)
    ask(page, "one")
    figures = page.locator(".figures")
    expect(figures).to_contain_text("10 of 40 tokens read")
    scripted.backend.go()
    expect(figures).to_contain_text("Thinking · ")
    expect(figures).to_contain_text("3 tokens · 50 tok/s")
    before = figures.inner_text()
    expect(figures).not_to_have_text(before)  # the time goes on by itself
    scripted.backend.go()
    expect(figures).to_contain_text("Answering · ")
    expect(page.locator(".fold")).to_contain_text("3 tokens")
    button(page, "Stop").click()
    expect(figures).to_contain_text("Stopped. ")
    expect(figures).to_contain_text("5 tokens · 50 tok/s")
    expect(page.locator("#meter")).to_have_text("45 of 1,000 tokens")


def test_the_end_is_followed_until_the_reader_scrolls_up(page: Page, scripted: Scripted) -> None:
    more = answer(*LONG)
    scripted.backend.scripts = [[*more, GO, *more, GO, *more]]
    visit(page, scripted)
    ask(page, "one")
    expect(page.get_by_text("Step 39")).to_be_in_viewport()
    page.locator("#scroller").hover()
    page.mouse.wheel(0, -400)
    expect(button(page, "To the end")).to_be_visible()
    place = page.evaluate("document.querySelector('#scroller').scrollTop")
    scripted.backend.go()
    expect(page.get_by_text("Step 39")).to_have_count(2)
    assert page.evaluate("document.querySelector('#scroller').scrollTop") == place
    button(page, "To the end").click()
    expect(button(page, "To the end")).not_to_be_visible()
    scripted.backend.go()
    answered(page)
    expect(page.get_by_text("Step 39").nth(2)).to_be_in_viewport()


def test_what_is_selected_in_a_running_reply_stays_selected(page: Page, scripted: Scripted) -> None:
    scripted.backend.scripts = [[*answer("A first paragraph.\n\n", "More"), GO, *answer(" of it")]]
    visit(page, scripted)
    ask(page, "one")
    expect(replies(page)).to_contain_text("More")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.assistant .text p'))")
    scripted.backend.go()
    answered(page)
    assert page.evaluate("getSelection().toString()") == "A first paragraph."


def test_a_button_keeps_the_focus_while_a_reply_comes_and_goes(
    page: Page, scripted: Scripted
) -> None:
    scripted.backend.scripts = [answer("One."), [*answer("Two"), GO, *answer(".")]]
    visit(page, scripted)
    ask(page, "one")
    answered(page)
    ask(page, "two")
    expect(replies(page).nth(1)).to_contain_text("Two")
    copy = replies(page).first.get_by_role("button", name="Copy", exact=True)
    copy.focus()
    scripted.backend.go()
    answered(page, 2)
    expect(copy).to_be_focused()


def test_states_are_said_to_a_screen_reader(page: Page, scripted: Scripted) -> None:
    scripted.backend.scripts = [[*thought("Hm. "), GO, *answer("So."), GO, *answer(" Done.")]]
    visit(page, scripted)
    status = page.locator("#status")
    ask(page, "one")
    expect(status).to_have_text("Thinking.")
    scripted.backend.go()
    expect(status).to_have_text("The answer begins.")
    scripted.backend.go()
    expect(status).to_have_text("The answer is complete.")
