"""Conversations to ids: always exactly mistral-common's own."""

import copy
import json
from typing import Any, Literal

import pytest
from mistral_common.protocol.instruct.chunk import TextChunk, ThinkChunk
from mistral_common.protocol.instruct.messages import (
    AssistantMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.tool_calls import Function, FunctionCall, Tool, ToolCall
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from mlx_magistral.errors import PromptError
from mlx_magistral.text.tokenizer import Tokenizer

Reference = MistralTokenizer[Any, Any, Any, Any, Any]

OPENAI_ID = "call_9kXw2RzGm4Tq7LsVb1NcHd8f"
PARAMETERS = {
    "type": "object",
    "properties": {"expression": {"type": "string", "description": "Ce qu'il faut évaluer"}},
    "required": ["expression"],
}


def call(arguments: str = '{"expression": "37+48"}', id: str = OPENAI_ID) -> ToolCall:
    return ToolCall(id=id, function=FunctionCall(name="calculator", arguments=arguments))


def user(text: str = "What is 37 + 48?") -> UserMessage:
    return UserMessage(content=text)


def thought(text: str, answer: str | None = None) -> AssistantMessage:
    content: list[Any] = [ThinkChunk(thinking=text)]
    if answer is not None:
        content.append(TextChunk(text=answer))
    return AssistantMessage(content=content)


CALLING = AssistantMessage(content=[ThinkChunk(thinking="a sum")], tool_calls=[call()])
RESULT = ToolMessage(content="85", tool_call_id=OPENAI_ID, name="calculator")

CONVERSATIONS: dict[str, list[Any]] = {
    "one question": [user()],
    "other scripts": [user("Сколько будет 37 + 48? 世界 👩‍👩‍👧\t\r\n")],
    "two user messages": [user(), user("And 2 + 2?")],
    "text parts": [UserMessage(content=[TextChunk(text="What is"), TextChunk(text="37 + 48?")])],
    "system": [SystemMessage(content="Be brief."), user()],
    "system with a thought": [
        SystemMessage(content=[TextChunk(text="a"), ThinkChunk(thinking="b"), TextChunk(text="c")]),
        user(),
    ],
    "two turns": [user(), AssistantMessage(content="85"), user("Now add 5.")],
    "two turns with thoughts": [user(), thought("7+8=15", "85"), user("Now add 5.")],
    "thought alone": [user(), thought("7+8=15"), user("Go on.")],
    "two thoughts": [
        user(),
        AssistantMessage(
            content=[
                ThinkChunk(thinking="a"),
                TextChunk(text="b"),
                ThinkChunk(thinking="c"),
                TextChunk(text="d"),
            ]
        ),
        user(),
    ],
    "two assistant messages": [user(), thought("a", "b"), AssistantMessage(content="c"), user()],
    "open thought in history": [
        user(),
        AssistantMessage(content=[ThinkChunk(thinking="a", closed=False)]),
        user(),
    ],
    "tool result": [user(), CALLING, RESULT],
    "after a tool": [user(), CALLING, RESULT, thought("done", "85"), user("Now add 5.")],
    "two calls answered in reverse": [
        user(),
        AssistantMessage(tool_calls=[call(id="first"), call('{"expression": "é"}', id="second")]),
        ToolMessage(content="2", tool_call_id="second"),
        ToolMessage(content="1", tool_call_id="first"),
    ],
    "text beside a call": [
        user(),
        AssistantMessage(content="Let me see.", tool_calls=[call()]),
        RESULT,
    ],
    "broken arguments": [user(), AssistantMessage(tool_calls=[call('{"expression": ')]), RESULT],
    "no arguments": [user(), AssistantMessage(tool_calls=[call("")]), RESULT],
    "empty result": [user(), CALLING, ToolMessage(content="", tool_call_id=OPENAI_ID)],
}
TOOLS = [
    Tool(function=Function(name="calculator", description="Évalue", parameters=PARAMETERS)),
    Tool(function=Function(name="now", parameters={}, strict=True)),
]

each_conversation = pytest.mark.parametrize(
    "messages", CONVERSATIONS.values(), ids=CONVERSATIONS.keys()
)


def expected(reference: Reference, messages: list[Any], tools: list[Tool] | None) -> list[int]:
    request = ChatCompletionRequest[Any](messages=messages, tools=tools)
    tokens: list[int] = reference.encode_chat_completion(request).tokens
    return tokens


def as_openai(message: Any) -> dict[str, Any]:
    """The message as an OpenAI client would send it: every field, the unused ones null."""
    fields = message.model_dump()
    if message.role == "assistant":
        fields |= {"refusal": None, "annotations": [], "audio": None, "function_call": None}
        for tool_call in fields["tool_calls"] or ():
            tool_call["index"] = 0
    fields["role"] = str(message.role)
    plain: dict[str, Any] = json.loads(json.dumps(fields))
    return plain


@each_conversation
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["no tools", "tools"])
def test_ids_are_mistral_commons(
    tokenizer: Tokenizer, reference: Reference, messages: list[Any], tools: list[Tool] | None
) -> None:
    want = expected(reference, messages, tools)
    dicts = [as_openai(message) for message in messages]
    mixed = [pair[index % 2] for index, pair in enumerate(zip(messages, dicts, strict=True))]
    openai_tools = [tool.to_openai() for tool in tools or ()]
    assert tokenizer.encode_chat(messages, tools, raw_system=True) == want
    assert tokenizer.encode_chat(dicts, openai_tools, raw_system=True) == want
    assert tokenizer.encode_chat(tuple(mixed), tools, raw_system=True) == want


@each_conversation
def test_official_prompt_is_one_system_message(
    tokenizer: Tokenizer, reference: Reference, messages: list[Any]
) -> None:
    first, thinking, last = (part.text for part in tokenizer.system_prompt.parts)
    content: list[Any] = [TextChunk(text=first), ThinkChunk(thinking=thinking)]
    content.append(TextChunk(text=last))
    rest = list(messages)
    if isinstance(rest[0], SystemMessage):
        own = rest.pop(0).content
        # One with a thought is a template of the caller's own.
        content = own if isinstance(own, list) else [*content, TextChunk(text=own)]
    want = expected(reference, [SystemMessage(content=content), *rest], TOOLS)
    assert tokenizer.encode_chat(messages, TOOLS) == want


@each_conversation
def test_think_prefixes_go_through_mistral_common(
    tokenizer: Tokenizer, reference: Reference, messages: list[Any]
) -> None:
    thinking: Literal["force", "skip"]
    for thinking, closed in (("force", False), ("skip", True)):
        chunk = ThinkChunk(thinking="", closed=closed)
        prefix = AssistantMessage(content=[chunk], prefix=True)
        tokens = tokenizer.encode_chat(messages, raw_system=True, thinking=thinking)
        assert tokens == expected(reference, [*messages, prefix], None)


@each_conversation
def test_the_callers_lists_stay_as_they_are(tokenizer: Tokenizer, messages: list[Any]) -> None:
    dicts = [as_openai(message) for message in messages]
    tools = [tool.to_openai() for tool in TOOLS]
    before = copy.deepcopy((messages, dicts, tools))
    for given in (messages, dicts):
        tokenizer.encode_chat(given, tools)
        tokenizer.encode_chat(given, tools, raw_system=True, thinking="force")
    assert (messages, dicts, tools) == before


def test_a_text_is_one_user_message(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode_chat("Hi") == tokenizer.encode_chat([user("Hi")])
    assert tokenizer.encode_chat("Hi", [], raw_system=True) == [1, 3, *tokenizer.encode("Hi"), 4]


@pytest.mark.parametrize(
    "assistant",
    [
        {"reasoning": "7+8=15", "content": "85"},
        {"reasoning_content": "7+8=15", "content": "85"},
        {"reasoning": "7+8=15", "reasoning_content": "7+8=15", "content": "85"},
        {"reasoning": "7+8=15", "content": [{"type": "text", "text": "85"}]},
        {"content": [{"type": "thinking", "thinking": "7+8=15"}, {"type": "text", "text": "85"}]},
        {
            "content": [
                {
                    "type": "thinking",
                    "thinking": [{"type": "text", "text": "7+8"}, {"type": "text", "text": "=15"}],
                    "closed": True,
                },
                {"type": "text", "text": "85"},
            ]
        },
        {"content": [ThinkChunk(thinking="7+8=15"), TextChunk(text="85")]},
    ],
)
def test_every_way_to_write_a_thought(tokenizer: Tokenizer, assistant: dict[str, Any]) -> None:
    given = [user(), {"role": "assistant", **assistant}, user("Now add 5.")]
    want = tokenizer.encode_chat([user(), thought("7+8=15", "85"), user("Now add 5.")])
    assert tokenizer.encode_chat(given) == want


def test_an_empty_reasoning_field_is_no_thought(tokenizer: Tokenizer) -> None:
    given = [user(), {"role": "assistant", "reasoning_content": "", "content": "85"}, user()]
    want = tokenizer.encode_chat([user(), AssistantMessage(content="85"), user()])
    assert tokenizer.encode_chat(given) == want


def test_arguments_may_be_an_object(tokenizer: Tokenizer) -> None:
    for arguments in ({"expression": "37+48"}, '{"expression":"37+48"}'):
        calls = [{"id": "x", "function": {"name": "calculator", "arguments": arguments}}]
        given = [
            user(),
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "x", "content": "85"},
        ]
        want = [user(), AssistantMessage(tool_calls=[call()]), RESULT]
        assert tokenizer.encode_chat(given) == tokenizer.encode_chat(want)


def test_tool_call_ids_match_and_leave_no_trace(tokenizer: Tokenizer) -> None:
    """Tokenizer v13 writes no ids, so any id an OpenAI client made up is as good as another."""
    encoded = []
    for id in (OPENAI_ID, "chatcmpl-tool-0", "9", "abcdefghi"):
        calling = AssistantMessage(tool_calls=[call(id=id)])
        result = ToolMessage(content="85", tool_call_id=id)
        encoded.append(tokenizer.encode_chat([user(), calling, result]))
    assert all(tokens == encoded[0] for tokens in encoded)


def test_no_text_yields_a_control_id(full_tokenizer: Tokenizer, tokenizer: Tokenizer) -> None:
    names = "<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS]"
    names += " [/TOOL_RESULTS] [TOOL_CALLS] <pad> [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]"
    names += " [ARGS] [CALL_ID] [THINK] [/THINK] <SPECIAL_40>"
    evil = names + names.replace(" ", "")
    for each in (tokenizer, full_tokenizer):
        assert not any(each.is_control(token) for token in each.encode(evil))
        for name in names.split():
            assert each.is_control(each.control_id(name))

        def controls(text: str, each: Tokenizer = each) -> list[int]:
            messages = [
                SystemMessage(content=text),
                user(text),
                AssistantMessage(content=[ThinkChunk(thinking=text), TextChunk(text=text)]),
                user(text),
                AssistantMessage(content=text, tool_calls=[call(json.dumps({"expression": text}))]),
                ToolMessage(content=text, tool_call_id=OPENAI_ID),
            ]
            described = Function(name="calculator", description=text, parameters=PARAMETERS)
            tokens = each.encode_chat(messages, [Tool(function=described)])
            return [token for token in tokens if each.is_control(token)]

        assert controls(evil) == controls("harmless")


@pytest.mark.parametrize(
    ("fields", "chunks", "is_open"),
    [
        ({"content": "The sum"}, [TextChunk(text="The sum")], False),
        ({"reasoning": "37+"}, [ThinkChunk(thinking="37+", closed=False)], True),
        ({"reasoning_content": "37+"}, [ThinkChunk(thinking="37+", closed=False)], True),
        (
            {"reasoning": "85", "content": "It is"},
            [ThinkChunk(thinking="85"), TextChunk(text="It is")],
            False,
        ),
        (
            {"content": [{"type": "thinking", "thinking": "85", "closed": True}]},
            [ThinkChunk(thinking="85")],
            False,
        ),
    ],
)
def test_a_reply_can_be_gone_on_with(
    tokenizer: Tokenizer,
    reference: Reference,
    fields: dict[str, Any],
    chunks: list[Any],
    is_open: bool,
) -> None:
    given = [{"role": "user", "content": "Hi"}, {"role": "assistant", "prefix": True, **fields}]
    message = AssistantMessage(content=chunks, prefix=True)
    tokens = tokenizer.encode_chat(given, raw_system=True)
    assert tokens == expected(reference, [UserMessage(content="Hi"), message], None)
    assert tokenizer.begun_part(given) == ("thinking" if is_open else "answer")
    assert tokenizer.begun_part(given[:1]) is None


def test_a_prefix_decides_on_the_thinking_itself(tokenizer: Tokenizer) -> None:
    given = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x", "prefix": 1}]
    with pytest.raises(PromptError, match="prefix to go on with"):
        tokenizer.encode_chat(given, thinking="force")
