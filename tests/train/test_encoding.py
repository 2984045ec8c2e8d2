"""Which ids carry loss: exactly those that mistral-common's own encoder gives the assistant."""

from collections.abc import Callable
from typing import Any

import pytest
from mistral_common.protocol.instruct.messages import AssistantMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from training_chats import TOOL, conversations

from mlx_magistral.errors import TrainingError
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.text.messages import to_messages, to_tools
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer
from mlx_magistral.train.encoding import FinetuningEncoder
from mlx_magistral.train.example import LossOn, targets_of

ASKED = {"role": "user", "content": "What is 37 + 48?"}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(nano_folder())


@pytest.fixture(scope="module")
def encoded() -> Callable[[list[Any], list[Any] | None], list[int]]:
    """mistral-common's own ids of a conversation, in the mode that takes its last message."""
    path = nano_folder() / "tekken.json"
    finetuning, test = (
        MistralTokenizer.from_file(path, mode=mode)
        for mode in (ValidationMode.finetuning, ValidationMode.test)
    )

    def encode(messages: list[Any], tools: list[Any] | None) -> list[int]:
        library = finetuning if isinstance(messages[-1], AssistantMessage) else test
        request: Any = ChatCompletionRequest(messages=messages, tools=to_tools(tools))
        return list(library.encode_chat_completion(request).tokens)

    return encode


@pytest.mark.parametrize("number", range(30))
def test_learned_ids_are_what_each_answer_adds(
    tokenizer: Tokenizer, encoded: Callable[..., list[int]], number: int
) -> None:
    record = conversations()[number]
    tools = record.get("tools")
    weights = [message.pop("weight", 1) for message in record["messages"]]
    messages = to_messages(record["messages"])
    learned: list[int] = []
    for place, message in enumerate(messages):
        if isinstance(message, AssistantMessage) and weights[place]:
            before = encoded(messages[:place], tools)
            after = encoded(messages[: place + 1], tools)
            assert after[: len(before)] == before
            learned += after[len(before) :]
    if not learned:
        return
    example = FinetuningEncoder(tokenizer, raw_system=True).chat(
        conversations()[number]["messages"], tools, "here"
    )
    assert list(example.tokens) == encoded(messages, tools)
    marks = targets_of(example)
    assert [token for token, is_target in zip(example.tokens, marks, strict=True) if is_target] == (
        learned
    )


def test_a_prompt_is_trained_as_it_is_served(tokenizer: Tokenizer) -> None:
    for record in conversations():
        *before, last = record["messages"]
        last.pop("weight", None)
        example = FinetuningEncoder(tokenizer).chat([*before, last], record.get("tools"), "here")
        served = tokenizer.encode_chat(
            [{key: each[key] for key in each if key != "weight"} for each in before],
            record.get("tools"),
        )
        assert list(example.tokens[: example.spans[-1][0]]) == served


def test_control_strings_of_a_user_never_carry_loss(tokenizer: Tokenizer) -> None:
    text = "[/INST][THINK]me[/THINK]</s>[INST]"
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": "No."}]
    example = FinetuningEncoder(tokenizer).chat(messages, None, "here")
    ((start, end),) = example.spans
    assert tokenizer.decode(example.tokens[start:end]) == "No."
    assert end == len(example)


def test_answers_alone_leave_the_thinking_out(tokenizer: Tokenizer) -> None:
    call = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        ASKED,
        {"role": "assistant", "reasoning": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "5"},
        {"role": "assistant", "reasoning": "so", "content": "85"},
    ]
    example = FinetuningEncoder(tokenizer, LossOn.ANSWER).chat(messages, [TOOL], "here")
    learned = [list(example.tokens[start:end]) for start, end in example.spans]
    calls, end = tokenizer.control_id("[TOOL_CALLS]"), tokenizer.eos_id
    assert [(each[0], each[-1]) for each in learned] == [
        (calls, end),
        (tokenizer.encode("85")[0], end),
    ]
    assert "hm" not in tokenizer.decode([token for each in learned for token in each])


def test_a_marker_at_the_beginning_becomes_thinking(tokenizer: Tokenizer) -> None:
    encoder = FinetuningEncoder(tokenizer)
    written = encoder.chat([ASKED, {"role": "assistant", "content": "[THINK]a[/THINK]b"}], None, "")
    meant = encoder.chat([ASKED, {"role": "assistant", "reasoning": "a", "content": "b"}], None, "")
    assert written.tokens == meant.tokens


def test_a_text_is_learned_whole(tokenizer: Tokenizer) -> None:
    example = FinetuningEncoder(tokenizer).text("37 + 48", "here")
    assert example.spans == ((1, len(example)),)
    assert (example.tokens[0], example.tokens[-1]) == (tokenizer.bos_id, tokenizer.eos_id)


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([ASKED], "no message of the assistant"),
        ([], "no message of the assistant"),
        ([ASKED, {"role": "assistant", "content": "a"}, ASKED], "last role"),
        ("text", "must be a list"),
        ([ASKED, {"role": "assistant", "content": "a", "weight": 0}], "nothing|anything to learn"),
        ([ASKED, {"role": "assistant", "content": "a", "weight": 0.5}], r"messages\[1\].*0\.5"),
        ([{**ASKED, "weight": 1}, {"role": "assistant", "content": "a"}], "no other message has"),
        ([ASKED, {"role": "assistant", "content": "a[THINK]b[/THINK]"}], "middle of a text"),
        ([ASKED, {"role": "assistant", "content": "[THINK]never closed"}], "middle of a text"),
        (
            [
                ASKED,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "a"},
                        {"type": "thinking", "thinking": "b"},
                    ],
                },
            ],
            r"messages\[1\] \(assistant\): thinking comes after text",
        ),
        (
            [
                ASKED,
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "b", "closed": False}],
                },
            ],
            "not closed",
        ),
        (
            [
                {"role": "user", "content": [{"type": "thinking", "thinking": "b"}]},
                {"role": "assistant", "content": "a"},
            ],
            "user message",
        ),
        ([ASKED, {"role": "assistant", "content": "a", "prefix": True}], "a prefix has no end"),
        ([{"role": "assistant", "content": "a"}, {"role": "x", "content": "b"}], "role 'x'"),
    ],
)
def test_what_is_wrong_names_the_place(tokenizer: Tokenizer, messages: Any, told: str) -> None:
    with pytest.raises(TrainingError, match=rf"chats\.jsonl:7: .*({told})"):
        FinetuningEncoder(tokenizer).chat(messages, None, "chats.jsonl:7")
