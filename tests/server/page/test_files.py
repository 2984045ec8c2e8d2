"""Text files that go with a question, and copying out again."""

from pathlib import Path

import pytest

from .browsing import CHROMIUM, answered, ask, box, button, visit
from .scripted import Scripted, answer

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

# Fires the event with a file in it, as a drop or a paste does.
GIVE = """([selector, kind, name, text]) => {
    const data = new DataTransfer();
    data.items.add(new File([text], name));
    const target = document.querySelector(selector);
    const options = { bubbles: true, cancelable: true };
    target.dispatchEvent(kind === "paste"
        ? new ClipboardEvent("paste", { ...options, clipboardData: data })
        : new DragEvent(kind, { ...options, dataTransfer: data }));
}"""
CODE = "Here:\n\n```python\nprint(1)\n```\n\n```nonsense\nx\n```\n\n    plain\n"
NO_CLIPBOARD = "Object.defineProperty(Navigator.prototype, 'clipboard', { get: () => undefined })"


def asked(scripted: Scripted) -> str:
    return str((scripted.backend.requests[-1].messages or ())[-1]["content"])


def test_files_by_button_drop_and_paste_reach_the_model(
    page: Page, scripted: Scripted, tmp_path: Path
) -> None:
    visit(page, scripted)
    (tmp_path / "a.md").write_text("alpha", "utf-8")
    page.locator("#file-input").set_input_files(tmp_path / "a.md")
    page.evaluate(GIVE, ["main", "dragover", "b.csv", "beta"])
    expect(page.locator("body")).to_have_class("dropping")
    page.evaluate(GIVE, ["main", "drop", "b.csv", "beta"])
    page.evaluate(GIVE, ["#question", "paste", "c.py", "gamma"])
    chips = page.locator("#files li")
    expect(chips).to_have_count(3)
    expect(chips.first).to_contain_text("12 tokens")
    button(page, "Leave out b.csv").click()
    ask(page, "What is in these?")
    answered(page)
    assert asked(scripted) == "What is in these?\n\na.md:\nalpha\n\nc.py:\ngamma"
    expect(chips).to_have_count(0)
    page.reload()
    page.locator(".file summary").first.click()
    expect(page.locator(".file pre").first).to_have_text("alpha")


def test_an_edit_keeps_the_files(page: Page, scripted: Scripted, tmp_path: Path) -> None:
    visit(page, scripted)
    (tmp_path / "a.md").write_text("alpha", "utf-8")
    page.locator("#file-input").set_input_files(tmp_path / "a.md")
    expect(page.locator("#files li")).to_have_count(1)
    button(page, "Send").click()  # a file alone is a question too
    answered(page)
    button(page, "Edit").click()
    page.get_by_label("Edit your message").fill("Sum it up.")
    page.keyboard.press("Control+Enter")
    answered(page)
    assert asked(scripted) == "Sum it up.\n\na.md:\nalpha"


def test_what_is_no_text_is_refused_by_name(page: Page, scripted: Scripted, tmp_path: Path) -> None:
    visit(page, scripted)
    for name, content in (("x.png", b"\x89PNG\r\n\0\0"), ("latin.txt", b"caf\xe9")):
        (tmp_path / name).write_bytes(content)
        page.locator("#file-input").set_input_files(tmp_path / name)
        expect(page.locator("#notice")).to_contain_text(f"{name} is not a text file")
    expect(page.locator("#files li")).to_have_count(0)
    button(page, "Close this message").click()
    expect(page.locator("#notice")).not_to_be_visible()


def test_code_has_its_language_and_colours(page: Page, scripted: Scripted) -> None:
    scripted.backend.scripts = [answer(CODE)]
    visit(page, scripted)
    ask(page, "code")
    answered(page)
    expect(page.locator(".code-head span")).to_have_text(["python", "nonsense", "text"])
    expect(page.locator(".code").first.locator(".hljs-built_in")).to_have_text("print")
    expect(page.locator(".code").nth(1).locator("code")).to_have_text("x\n")


@pytest.mark.parametrize("is_secure", [True, False])
def test_copying_works_and_says_so_also_without_a_clipboard(
    own_page: Page, scripted: Scripted, is_secure: bool
) -> None:
    """Over plain http from another machine there is no navigator.clipboard."""
    page = own_page
    if is_secure:
        page.context.grant_permissions(["clipboard-write", "clipboard-read"])
    else:
        page.add_init_script(NO_CLIPBOARD)
    scripted.backend.scripts = [answer(CODE)]
    visit(page, scripted)
    ask(page, "code")
    answered(page)

    def pasted() -> str:
        box(page).fill("")
        box(page).press("Control+v")
        return box(page).input_value()

    # The buttons say it for two seconds, which a busy machine may take for a click.
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    of_code = page.locator(".copy-code").first
    of_reply = page.locator(".assistant .tools button").first
    for copy, text in ((of_code, "print(1)\n"), (of_reply, CODE)):
        expect(copy).to_have_text("Copy")
        copy.click()
        expect(copy).to_have_text("Copied")
        expect(page.locator("#status")).to_have_text("Copied.")
        assert pasted() == text
    page.clock.run_for(2000)
    expect(of_code).to_have_text("Copy")
    expect(of_reply).to_have_text("Copy")
