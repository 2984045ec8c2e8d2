"""What no conversation may be: one clear line each, with the message's place."""

from typing import Any

import pytest
from mistral_common.protocol.instruct.chunk import ImageURLChunk, TextChunk
from mistral_common.protocol.instruct.messages import UserMessage

from mlx_magistral.errors import PromptError
from mlx_magistral.text.tokenizer import Tokenizer

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hello"}
CALL = {"id": "a", "type": "function", "function": {"name": "calc", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "3"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


def calling(**function: Any) -> dict[str, Any]:
    return {**CALLING, "tool_calls": [{**CALL, "function": {**CALL["function"], **function}}]}  # type: ignore[dict-item]


def assistant(**fields: Any) -> list[Any]:
    return [USER, {"role": "assistant", **fields}, USER]


def user(content: Any) -> list[Any]:
    return [USER, ANSWER, {"role": "user", "content": content}]


CASES: list[tuple[str, Any, str]] = [
    # Not a conversation at all.
    ("empty text", "", "The prompt is empty"),
    ("blank text", " \n\t", "The prompt is empty"),
    ("no messages", [], "list of messages is empty"),
    ("null", None, "must be a text or a list of messages, not NoneType"),
    ("bytes", b"hi", "not bytes"),
    ("a lone dict", USER, "not dict"),
    ("a number", [3], r"messages\[0\]: it is of type int"),
    # Something to answer.
    ("assistant last", [USER, ANSWER], "last message is the assistant's.*End with a user message"),
    ("no user", [CALLING, RESULT], "no user message"),
    ("empty question", user(""), "The prompt is empty"),
    ("no parts", user([]), r"messages\[2\] \(user\): content is missing"),
    ("blank parts", user([{"type": "text", "text": " "}]), "The prompt is empty"),
    # Roles and fields.
    (
        "unknown role",
        [{"role": "bot", "content": "x"}],
        r"messages\[0\] \(bot\): role 'bot' is none",
    ),
    ("no role", [USER, {"content": "x"}], r"messages\[1\]: role None is none of system"),
    ("old function role", [USER, {"role": "function", "content": "x"}], "role 'function' is none"),
    ("prefix not last", assistant(content="x", prefix=True), "prefix"),
    ("a user's prefix", user("x")[:2] + [{**USER, "prefix": True}], "field 'prefix' is not"),
    ("audio", assistant(content="x", audio={"id": "y"}), "field 'audio' is not supported"),
    ("reasoning of a user", [{**USER, "reasoning": "x"}], "field 'reasoning' is not supported"),
    # Content.
    ("no content", [{"role": "user"}], r"\(user\): content is missing"),
    ("null content", user(None), r"messages\[2\] \(user\): content is missing"),
    ("number", user(5), "content is of type int"),
    (
        "object",
        [USER, CALLING, {**RESULT, "content": {"a": 1}}],
        r"\[2\] \(tool\): content is of ty",
    ),
    ("text part", user(["hi"]), "content part is of type str"),
    ("number as text", user([{"type": "text", "text": 5}]), "text: Input should be a valid string"),
    ("no text", user([{"type": "text"}]), "text: Field required"),
    ("image", user([{"type": "text", "text": "see"}, IMAGE]), "'image_url' .* reads text only"),
    ("sound", user([AUDIO]), r"messages\[2\] \(user\): content part of type 'input_audio'"),
    ("typeless", user([{"text": "hi"}]), "content part of type None"),
    (
        "image object",
        [UserMessage(content=[TextChunk(text="x"), ImageURLChunk(image_url="data:x")])],
        r"messages\[0\] \(user\): ImageURLChunk is not supported",
    ),
    (
        "thought of a user",
        user([{"type": "thinking", "thinking": "x"}]),
        "ThinkChunk cannot be used",
    ),
    # Assistants.
    (
        "thought twice",
        assistant(content=[{"type": "thinking", "thinking": "a"}], reasoning="b"),
        "cannot have both",
    ),
    ("two reasonings", assistant(reasoning="a", reasoning_content="b"), "should be equal"),
    ("reasoning list", assistant(content="x", reasoning=["a"]), r"\(assistant\): thinking: Input"),
    (
        "odd thought",
        assistant(content=[{"type": "thinking", "thinking": [{"type": "reference"}]}]),
        "'text' is missing",
    ),
    (
        "odder thought",
        assistant(content=[{"type": "thinking", "thinking": ["a"]}]),
        r"messages\[1\] \(assistant\)",
    ),
    # Tool calls and results.
    ("calls as text", assistant(tool_calls="calc"), "tool_calls must be a list"),
    ("call as text", assistant(tool_calls=["calc"]), r"messages\[1\] \(assistant\): Input should"),
    ("no function", assistant(tool_calls=[{"id": "a"}]), "function: Field required"),
    (
        "bad name",
        [USER, calling(name="ca lc"), RESULT],
        r"\[1\] \(assistant\): Function name was ca",
    ),
    ("arguments", [USER, calling(arguments=3), RESULT], "function.arguments: Input should be"),
    ("a set", [USER, calling(arguments={"x": {1}}), RESULT], "set is not JSON serializable"),
    ("deep", [USER, calling(arguments="[" * 100_000), RESULT], "recursion"),
    (
        "no call id",
        [USER, {**CALLING, "tool_calls": [{"function": CALL["function"]}]}, RESULT],
        r"messages\[1\] \(assistant\)",
    ),
    ("no result id", [USER, CALLING, {"role": "tool", "content": "3"}], "tool_call_id is missing"),
    (
        "wrong result id",
        [USER, CALLING, {**RESULT, "tool_call_id": "b"}],
        r"messages\[2\] \(tool\): Unexpected tool call id b .* each tool call needs its result",
    ),
    ("result twice", [USER, CALLING, RESULT, RESULT], r"messages\[3\] \(tool\): Duplicate"),
    ("no result", [USER, CALLING, USER], "each tool call needs its result"),
    (
        "half the results",
        [USER, {**CALLING, "tool_calls": [CALL, {**CALL, "id": "b"}]}, RESULT],
        "Not the",
    ),
    ("no result, answered", [USER, CALLING, USER, ANSWER, USER], r"messages\[3\] \(assistant\)"),
    ("result of nothing", [USER, RESULT], r"messages\[1\] \(tool\): Unexpected role 'tool'"),
    (
        "places count the caller's own messages",
        [{"role": "system", "content": "x"}, USER, {"role": "assistant", "content": ""}, RESULT],
        r"messages\[3\] \(tool\): Unexpected role .* User and assistant take turns",
    ),
    # What tiktoken gives up on, wherever it is.
    ("a million spaces", user("x\n" + " " * 1_000_000 + "."), r"messages\[2\] \(user\): .*Shorten"),
    (
        "in a thought",
        assistant(reasoning=" " * 1_000_000 + ".", content="x"),
        r"messages\[1\] \(assistant\): .*Shorten",
    ),
]


@pytest.mark.parametrize(
    ("messages", "complaint"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
@pytest.mark.parametrize("raw_system", [False, True], ids=["official", "raw"])
def test_bad_messages(
    tokenizer: Tokenizer, messages: Any, complaint: str, raw_system: bool
) -> None:
    with pytest.raises(PromptError, match=complaint) as caught:
        tokenizer.encode_chat(messages, raw_system=raw_system)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 400


@pytest.mark.parametrize(
    ("tools", "complaint"),
    [
        (["calc"], r"tools\[0\] is no function tool"),
        ([{"type": "function"}], r"tools\[0\] .*function: Field required"),
        ([{"type": "web_search"}], r"tools\[0\] .*type: Input should be 'function'"),
        ({"type": "function"}, "Tools must be a list of tools, not dict"),
        ("calc", "Tools must be a list of tools, not str"),
        ([{"type": "function", "function": {"name": "ca lc"}}], "Function name was ca lc"),
        (
            [{"type": "function", "function": {"name": "calc", "parameters": {"type": "objekt"}}}],
            "Invalid tool schema: 'objekt'",
        ),
    ],
)
def test_bad_tools(tokenizer: Tokenizer, tools: Any, complaint: str) -> None:
    with pytest.raises(PromptError, match=complaint) as caught:
        tokenizer.encode_chat("hi", tools)
    assert "\n" not in str(caught.value)


def test_unknown_thinking(tokenizer: Tokenizer) -> None:
    with pytest.raises(PromptError, match="auto, force or skip, not 'yes'"):
        tokenizer.encode_chat("hi", thinking="yes")  # type: ignore[arg-type]
