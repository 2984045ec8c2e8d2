"""Tools of MCP servers on the page: nothing is called that its reader did not let be called."""

import json
from collections.abc import Iterator

import pytest

from mlx_magistral.events import ToolCallDelta

from .browsing import CHROMIUM, answered, ask, button, replies, visit
from .scripted import Clock, Scripted, Step, answer, serving_scripts, thought

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, Route, expect  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

CLOCK = Clock()


@pytest.fixture(scope="module")
def _server() -> Iterator[Scripted]:
    with serving_scripts(tools=[CLOCK]) as server:
        yield server


@pytest.fixture
def server(_server: Scripted) -> Scripted:
    _server.backend.reset()
    CLOCK.asked.clear()
    return _server


def calling(zone: str, index: int = 0) -> list[Step]:
    call = ToolCallDelta(index, f"call0000{index}", "now", "")
    rest = ToolCallDelta(index, None, None, json.dumps({"zone": zone}))
    return [*thought("I need the time. "), call, rest]


def test_a_call_is_shown_made_when_allowed_and_answered(page: Page, server: Scripted) -> None:
    server.backend.scripts = [calling("Tokyo"), answer("It is half past nine.")]
    visit(page, server)
    ask(page, "What time is it in Tokyo?")
    question = page.get_by_role("group", name="A tool wants to be called")
    expect(question).to_contain_text("time/now wants to be called with:")
    expect(question).to_contain_text('{"zone": "Tokyo"}')
    assert not CLOCK.asked
    button(page, "Call it").click()
    answered(page, 2)
    assert CLOCK.asked == ['{"zone": "Tokyo"}']
    expect(replies(page).first).to_contain_text("half past nine")
    expect(replies(page).last).to_contain_text("It is half past nine.")
    first, second = server.backend.requests
    assert first.tools is not None and first.tools[0]["function"]["name"] == "now"
    assert second.messages is not None
    called, result = second.messages[-2:]
    assert called["reasoning"] == "I need the time. "
    assert (result["role"], result["content"]) == ("tool", "half past nine")
    assert result["tool_call_id"] == called["tool_calls"][0]["id"]


def test_a_question_asked_before_the_tools_are_known_waits_for_them(
    page: Page, server: Scripted
) -> None:
    server.backend.scripts = [calling("Tokyo")]
    held: list[Route] = []
    page.route("**/mcp/tools", lambda route: held.append(route))
    visit(page, server)
    ask(page, "What time is it in Tokyo?")
    expect(button(page, "Stop")).to_be_visible()
    button(page, "Stop").click()
    answered(page)
    assert not server.backend.requests
    ask(page, "And in Kyoto?")
    expect(button(page, "Stop")).to_be_visible()
    held[0].continue_()
    expect(page.get_by_role("group", name="A tool wants to be called")).to_contain_text("time/now")
    (request,) = server.backend.requests
    assert request.tools is not None and request.tools[0]["function"]["name"] == "now"


def test_an_open_call_is_shown_with_its_server_when_that_is_known(
    page: Page, server: Scripted
) -> None:
    server.backend.scripts = [calling("Tokyo"), answer("Done.")]
    visit(page, server)
    ask(page, "In Tokyo?")
    question = page.get_by_role("group", name="A tool wants to be called")
    expect(question).to_contain_text("time/now")
    held: list[Route] = []
    page.route("**/mcp/tools", lambda route: held.append(route))
    page.reload()
    expect(question).to_contain_text("now wants to be called")
    button(page, "Always").click()
    held[0].continue_()
    answered(page, 2)
    assert page.evaluate("JSON.parse(localStorage['mlx-magistral.settings']).consents") == {
        "time/now": True
    }


def test_for_this_session_asks_once_and_a_failure_is_told(page: Page, server: Scripted) -> None:
    done = answer("Done.")
    server.backend.scripts = [calling("Tokyo"), done, calling("Nowhere"), done]
    visit(page, server)
    ask(page, "In Tokyo?")
    button(page, "For this session").click()
    answered(page, 2)
    ask(page, "And nowhere?")
    answered(page, 4)
    assert len(CLOCK.asked) == 2
    expect(replies(page).nth(2)).to_contain_text('{"error":"there is no such zone"}')


def test_a_call_under_way_is_shown_as_that_and_not_made_again(page: Page, server: Scripted) -> None:
    server.backend.scripts = [calling("Tokyo"), answer("Done.")]
    visit(page, server)
    held: list[Route] = []
    page.route("**/mcp/call", lambda route: held.append(route))
    ask(page, "In Tokyo?")
    button(page, "Call it").dblclick()
    question = page.get_by_role("group", name="A tool wants to be called")
    expect(question).to_have_text("time/now is being called.")
    (call,) = held
    call.continue_()
    answered(page, 2)
    assert CLOCK.asked == ['{"zone": "Tokyo"}']


def test_an_answer_in_the_moment_of_the_question_makes_one_call(
    page: Page, server: Scripted
) -> None:
    server.backend.scripts = [calling("Tokyo"), answer("Done.")]
    visit(page, server)
    # Before the conversation is kept, which is when a page goes on by itself.
    page.evaluate("""new MutationObserver((_, observer) => {
        const all = [...document.querySelectorAll("button")];
        const wanted = all.find((each) => each.textContent === "For this session");
        if (wanted) { observer.disconnect(); wanted.click(); }
    }).observe(document.body, {childList: true, subtree: true})""")
    ask(page, "In Tokyo?")
    answered(page, 2)
    assert CLOCK.asked == ['{"zone": "Tokyo"}']
    assert len(server.backend.requests) == 2


def test_an_answer_is_for_the_call_that_it_was_given_to(page: Page, server: Scripted) -> None:
    both = [*calling("Tokyo"), *calling("Kyoto", 1)]
    server.backend.scripts = [both, answer("Done.")]
    visit(page, server)
    ask(page, "In both?")
    question = page.get_by_role("group", name="A tool wants to be called")
    expect(question).to_contain_text("Tokyo")
    button(page, "No").evaluate("each => { each.click(); each.click(); }")
    expect(question).to_contain_text("Kyoto")
    button(page, "No").click()
    answered(page, 2)
    assert not CLOCK.asked


def test_never_is_told_to_the_model_and_the_tool_is_offered_no_more(
    page: Page, server: Scripted
) -> None:
    server.backend.scripts = [calling("Tokyo"), answer("Then not.")]
    visit(page, server)
    ask(page, "In Tokyo?")
    button(page, "Never").click()
    answered(page, 2)
    assert not CLOCK.asked
    last = server.backend.requests[-1]
    assert last.messages is not None and "refused" in last.messages[-1]["content"]
    assert not last.tools
    button(page, "Settings").click()
    expect(page.locator("#tools")).to_contain_text("time/now 99 tokens of every prompt")
    button(page, "Ask again before each is called").click()
    button(page, "Done").click()
    ask(page, "And now?")
    answered(page, 3)
    assert server.backend.requests[-1].tools


def test_a_tool_can_be_left_out_and_without_servers_there_is_no_list(
    page: Page, server: Scripted, scripted: Scripted
) -> None:
    visit(page, server)
    button(page, "Settings").click()
    page.locator("#tools input").uncheck()
    button(page, "Done").click()
    ask(page, "hello")
    answered(page)
    assert not server.backend.requests[-1].tools
    visit(page, scripted)
    button(page, "Settings").click()
    expect(page.locator("#tools-part")).to_be_hidden()
