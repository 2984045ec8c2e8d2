"""What Claude Code sends to /v1/messages: instructions anywhere, tools' images, odd blocks."""

from typing import Any

import pytest

from mlx_magistral import Magistral

from .asking import USER, Asker, stream_events

PATH = "/v1/messages"
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
IMAGE = {"type": "image", "source": PNG}
LINE = "[image: image/png, 8 bytes. Not shown: this model reads text only.]"
USE = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}
CALLING = {"role": "assistant", "content": [USE]}


def result(content: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **fields}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


@pytest.fixture
def asker() -> Asker:
    return Asker()


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


def messages(asker: Asker, *given: Any, **fields: Any) -> list[Any]:
    return list(asker.asked(PATH, messages=list(given), **fields).messages or ())


def test_system_messages_anywhere_reach_the_model(asker: Asker, nano: Magistral) -> None:
    for role in ("system", "developer"):
        given = messages(asker, USER, {"role": role, "content": "Available agents: general"})
        text = nano.tokenizer.decode(nano.tokenizer.encode_chat(given))
        assert text.endswith("hi\n\n<system>\nAvailable agents: general\n</system>")
    blocks = [{"type": "text", "text": "a", "cache_control": {}}, {"type": "text", "text": "b"}]
    given = messages(asker, USER, {"role": "assistant", "content": "x"}, USER, system=blocks)
    assert given[0] == {"role": "system", "content": "a\n\nb"}


def test_the_billing_block_that_changes_each_time_is_left_out(asker: Asker) -> None:
    system = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=12ab3;"},
        {"type": "text", "text": "You are a coding agent."},
    ]
    assert messages(asker, USER, system=system)[0]["content"] == "You are a coding agent."


@pytest.mark.parametrize("empty", ["", None, []])
def test_empty_turns_are_no_error(asker: Asker, nano: Magistral, empty: Any) -> None:
    given = messages(asker, USER, {"role": "assistant", "content": empty}, USER)
    assert nano.tokenizer.encode_chat(given) == nano.tokenizer.encode_chat([USER, USER])


def test_what_a_tool_read_is_a_line_and_a_users_own_image_is_refused(asker: Asker) -> None:
    given = messages(asker, USER, CALLING, user(result([IMAGE])))
    assert given[-1]["content"] == LINE
    document = {**IMAGE, "type": "document"}
    given = messages(asker, USER, CALLING, user(result("read"), document))
    assert given[-1] == user({"type": "text", "text": LINE.replace("image:", "document:")})
    given = messages(asker, USER, CALLING, user(result("read")), user(document))
    assert given[-1]["role"] == "user"
    text = {"type": "document", "source": {"type": "text", "data": "words"}}
    assert messages(asker, user(text))[-1]["content"][0]["text"] == "words"
    for block in (IMAGE, document):
        said = asker.refused(PATH, messages=[user({"type": "text", "text": "see"}, block)])
        assert "reads text only" in said and "messages.0.content.1" in said


def test_references_to_tools_are_their_names(asker: Asker) -> None:
    reference = {"type": "tool_reference", "tool_name": "WebFetch"}
    given = messages(asker, USER, CALLING, user(result([reference, reference])))
    assert given[-1]["content"] == "Tool: WebFetch\n\nTool: WebFetch"


def test_a_tool_that_failed_says_so(asker: Asker) -> None:
    for content, is_error, text in [
        ("no file", True, "Error: no file"),
        ("<tool_use_error>no</tool_use_error>", True, "<tool_use_error>no</tool_use_error>"),
        ("no file", False, "no file"),
        ([], True, "Error: "),
    ]:
        given = messages(asker, USER, CALLING, user(result(content, is_error=is_error)))
        assert given[-1]["content"] == text


def test_tools_of_the_provider_are_left_out_unless_they_have_to_be_called(asker: Asker) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    own = {"name": "Read", "input_schema": {"type": "object"}, "strict": True, "cache_control": {}}
    response = asker.post(PATH, tools=[search, own])
    assert response.headers["x-ignored-fields"] == (
        "tools.0.web_search_20250305, tools.1.cache_control"
    )
    tools = asker.backend.requests[-1].tools or ()
    assert [tool["function"]["name"] for tool in tools] == ["Read"]
    assert tools[0]["function"]["strict"] is True
    choice = {"type": "tool", "name": "web_search"}
    assert "web_search_20250305" in asker.refused(PATH, tools=[search], tool_choice=choice)
    bash = {"type": "bash_20250124", "name": "bash"}
    assert "bash_20250124" in asker.refused(PATH, tools=[bash])


def test_a_stream_counts_its_prompt_from_the_start(asker: Asker) -> None:
    events = stream_events(asker.post(PATH, stream=True))
    assert events[0]["message"]["usage"]["input_tokens"] == 7
    last = next(event for event in events if event["type"] == "message_delta")["usage"]
    assert last["input_tokens"] + last["cache_read_input_tokens"] == 7


def test_both_places_of_a_schema(asker: Asker) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    for fields in ({"output_format": form}, {"output_config": {"format": form}}):
        assert "schema" in asker.asked(PATH, **fields).options


def test_what_the_providers_own_tools_did_is_left_out_of_the_history(asker: Asker) -> None:
    blocks = [
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []},
        {"type": "text", "text": "It is so."},
    ]
    given = messages(asker, USER, {"role": "assistant", "content": blocks}, USER)
    assert given[1]["content"] == [{"type": "text", "text": "It is so."}]
    wrong = [USER, {"role": "assistant", "content": [{"type": "container_upload"}]}, USER]
    assert "container_upload" in asker.refused(PATH, messages=wrong)
