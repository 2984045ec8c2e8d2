"""What Codex and the AI SDK send to /v1/responses, and what they get back."""

import json
from typing import Any

import pytest
from server_fakes import FINISHED, SCRIPT

from mlx_magistral.events import Event, ToolCallDelta
from mlx_magistral.server.protocols.response_memory import ItemMemory

from .asking import Asker, stream_events

PATH = "/v1/responses"
FUNCTION = {"type": "function", "name": "run", "parameters": {"type": "object"}, "strict": False}
CUSTOM = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Patches.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /x+/"},
}
SPACE = {"type": "namespace", "name": "mcp__web__", "description": "d", "tools": [FUNCTION]}
HOSTED = {"type": "web_search", "external_web_access": False}


@pytest.fixture
def asker() -> Asker:
    return Asker()


def called(name: str, arguments: str) -> list[Event]:
    middle = len(arguments) // 2
    return [
        ToolCallDelta(0, "abcdefghi", name, ""),
        ToolCallDelta(0, None, None, arguments[:middle]),
        ToolCallDelta(0, None, None, arguments[middle:]),
        FINISHED,
    ]


def offered(asker: Asker, *tools: dict[str, Any], **fields: Any) -> list[str]:
    request = asker.asked(PATH, tools=list(tools), **fields)
    return [tool["function"]["name"] for tool in request.tools or ()]


def test_tools_that_the_client_runs_are_offered_and_hosted_ones_left_out(asker: Asker) -> None:
    assert offered(asker, FUNCTION, HOSTED, CUSTOM) == ["run", "apply_patch"]
    response = asker.post(PATH, tools=[FUNCTION, HOSTED, SPACE])
    assert response.json()["tools"] == [FUNCTION, SPACE]
    assert response.headers["x-ignored-fields"] == "tools.1.web_search"
    assert offered(asker, HOSTED) == []
    for kind in ("local_shell", "file_search", "mcp", "image_generation", "web_search_preview"):
        assert asker.post(PATH, tools=[{"type": kind}]).json()["tools"] == []
    assert "hologram" in asker.refused(PATH, tools=[{"type": "hologram"}])
    assert "web_search" in asker.refused(PATH, tools=[HOSTED], tool_choice={"type": "web_search"})


def test_functions_of_a_namespace_are_offered_and_called_back_in_it(asker: Asker) -> None:
    assert offered(asker, SPACE) == ["run"]
    asker.backend.script = [*called("run", '{"a": 1}')]
    item = asker.post(PATH, tools=[SPACE]).json()["output"][0]
    assert (item["name"], item["namespace"]) == ("run", "mcp__web__")
    assert item["type"] == "function_call" and item["arguments"] == '{"a": 1}'
    # Two of a name are told apart, and each is called back by its own.
    assert offered(asker, FUNCTION, SPACE) == ["run", "mcp__web__run"]
    asker.backend.script = [*called("mcp__web__run", "{}")]
    item = asker.post(PATH, tools=[FUNCTION, SPACE]).json()["output"][0]
    assert (item["name"], item["namespace"]) == ("run", "mcp__web__")
    asker.backend.script = [*called("run", "{}")]
    item = asker.post(PATH, tools=[FUNCTION, SPACE]).json()["output"][0]
    assert item["name"] == "run" and "namespace" not in item
    empty = {**SPACE, "tools": []}
    assert asker.post(PATH, tools=[empty]).json()["tools"] == []


def test_a_custom_tool_takes_a_text(asker: Asker) -> None:
    request = asker.asked(
        PATH, tools=[CUSTOM], tool_choice={"type": "custom", "name": CUSTOM["name"]}
    )
    assert request.tool_choice == "apply_patch" and request.tools
    function = request.tools[0]["function"]
    assert function["parameters"]["required"] == ["input"]
    assert "Patches." in function["description"] and "start: /x+/" in function["description"]
    asker.backend.script = [*called("apply_patch", '{"input": "*** é\\n"}')]
    events = stream_events(asker.post(PATH, tools=[CUSTOM], stream=True))
    kinds = [event["type"] for event in events]
    assert "response.custom_tool_call_input.done" in kinds
    assert not any("function_call_arguments" in kind for kind in kinds)
    item = events[-1]["response"]["output"][0]
    assert item["type"] == "custom_tool_call" and item["input"] == "*** é\n"
    # And given back with its result.
    given = [
        {"role": "user", "content": "a"},
        item,
        {"type": "custom_tool_call_output", "call_id": item["call_id"], "output": "Done"},
    ]
    messages = asker.asked(PATH, tools=[CUSTOM], input=given).messages or ()
    assert json.loads(messages[1]["tool_calls"][0]["function"]["arguments"]) == {"input": "*** é\n"}
    assert messages[2]["content"] == "Done"


def test_broken_arguments_of_a_custom_call_come_as_they_are(asker: Asker) -> None:
    asker.backend.script = [*called("apply_patch", '{"inp')]
    assert asker.post(PATH, tools=[CUSTOM]).json()["output"][0]["input"] == '{"inp'


def test_history_of_a_namespace_is_under_the_name_that_is_offered(asker: Asker) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "run", "namespace": "mcp__web__"}
    given = [
        {"role": "user", "content": "a"},
        {**call, "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
    ]
    messages = asker.asked(PATH, tools=[FUNCTION, SPACE], input=given).messages or ()
    assert messages[1]["tool_calls"][0]["function"]["name"] == "mcp__web__run"


def test_tools_may_come_as_an_item(asker: Asker) -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}
    request = asker.asked(PATH, input=[item, {"role": "user", "content": "a"}])
    assert request.tools and request.tools[0]["function"]["name"] == "run"


def test_thinking_comes_as_text_and_as_its_summary(asker: Asker) -> None:
    events = stream_events(asker.post(PATH, stream=True, reasoning={"summary": "auto"}))
    deltas = {event["type"]: event["delta"] for event in events if "delta" in event}
    assert deltas["response.reasoning_text.delta"] == "hm"
    assert deltas["response.reasoning_summary_text.delta"] == "hm"
    reasoning = asker.post(PATH).json()["output"][0]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "hm"}]
    # Given back in either form it is one thought.
    for kept in (reasoning, {**reasoning, "content": None}, {**reasoning, "summary": []}):
        given = [{"role": "user", "content": "a"}, kept, {"role": "user", "content": "b"}]
        messages = asker.asked(PATH, input=given).messages or ()
        assert messages[1]["content"] == [{"type": "thinking", "thinking": "hm"}]


def test_items_are_found_by_reference_while_they_are_remembered(asker: Asker) -> None:
    asker.backend.script = [SCRIPT[0], *called("run", "{}")]
    output = asker.post(PATH, tools=[FUNCTION]).json()["output"]
    references = [{"type": "item_reference", "id": item["id"]} for item in output]
    result = {"type": "function_call_output", "call_id": output[1]["call_id"], "output": "x"}
    given = [{"role": "user", "content": "a"}, *references, result]
    messages = asker.asked(PATH, input=given).messages or ()
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert messages[1]["content"] == [{"type": "thinking", "thinking": "hm"}]
    assert messages[1]["tool_calls"][0]["function"]["name"] == "run"
    # Streamed replies are remembered too, and those that shall not be stored are not.
    for stored, count in ((True, 1), (False, 0)):
        asker.backend.script = list(SCRIPT)
        done = stream_events(asker.post(PATH, stream=True, store=stored))[-1]["response"]["output"]
        given = [
            {"role": "user", "content": "a"},
            {"type": "item_reference", "id": done[-1]["id"]},
            {"role": "user", "content": "b"},
        ]
        messages = asker.asked(PATH, input=given).messages or ()
        assert [each["role"] for each in messages].count("assistant") == count


def test_a_result_outlives_its_forgotten_call(asker: Asker) -> None:
    given = [
        {"role": "user", "content": "a"},
        {"type": "item_reference", "id": "fc_1"},
        {"type": "function_call_output", "call_id": "c", "output": "42"},
    ]
    response = asker.post(PATH, input=given)
    assert response.headers["x-ignored-fields"] == "input.1.item_reference"
    messages = asker.backend.requests[-1].messages or ()
    assert messages[-1]["role"] == "user" and "42" in messages[-1]["content"]


def test_the_memory_is_bounded() -> None:
    memory = ItemMemory(most_items=3, most_bytes=1000)
    memory.keep([{"id": str(number)} for number in range(5)])
    assert [memory.find(str(number)) is not None for number in range(5)] == [False] * 2 + [True] * 3
    memory.keep([{"id": "large", "text": "x" * 990}])
    assert memory.find("4") is None and memory.find("large") is None
    assert memory.find(None) is None and memory.find(["4"]) is None


@pytest.mark.parametrize(
    ("part", "line"),
    [
        (
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="},
            "[image: image/png, 8 bytes. Not shown: this model reads text only.]",
        ),
        ({"type": "input_text", "text": "x"}, "x"),
    ],
)
def test_an_image_that_a_tool_read_is_a_line(asker: Asker, part: Any, line: str) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "view_image", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c", "output": [part]}
    given = [{"role": "user", "content": "a"}, call, result]
    messages = asker.asked(PATH, input=given).messages or ()
    assert messages[-1] == {**messages[-1], "role": "tool", "content": line}


def test_what_loses_something_is_refused_by_name(asker: Asker) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    said = asker.refused(PATH, input=[{"role": "user", "content": [image]}])
    assert "input_image" in said and said.startswith("input.0")
    assert "compaction" in asker.refused(PATH, input=[{"type": "compaction"}])
    passed = [{"type": "web_search_call", "id": "ws"}, {"role": "user", "content": "a"}]
    assert asker.post(PATH, input=passed).headers["x-ignored-fields"] == "input.0.web_search_call"


def test_small_words(asker: Asker) -> None:
    asker.asked(PATH, top_logprobs=0, truncation="auto", max_tool_calls=3, background=False)
    assert "background" in asker.refused(PATH, background=True)
    assert "top_logprobs" in asker.refused(PATH, top_logprobs=3)
    texts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    messages = asker.asked(PATH, input=[{"role": "user", "content": texts}]).messages or ()
    assert [part["text"] for part in messages[0]["content"]] == ["a", "b"]
