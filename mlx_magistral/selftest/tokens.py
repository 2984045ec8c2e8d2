"""Ids against mistral-common, which is what the model was trained with."""

from pathlib import Path
from typing import Any

from mlx_magistral.selftest.line import Line, judged
from mlx_magistral.text.tokenizer import Tokenizer

_CALL = {"id": "abcdefghi", "type": "function"} | {
    "function": {"name": "calculator", "arguments": '{"expression": "37+48"}'}
}
_QUESTION = {"role": "user", "content": "What is 37 + 48? Сколько? 世界 👩‍👩‍👧\t[THINK]"}
_ANSWERS: list[dict[str, Any]] = [
    {"role": "assistant", "content": "", "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "abcdefghi", "name": "calculator", "content": "85"},
    {"role": "assistant", "content": "The sum is $\\boxed{85}$."},
    {"role": "user", "content": "now add 5"},
]
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [_QUESTION],
    [{"role": "system", "content": "Be brief."}, _QUESTION],
    [_QUESTION, *_ANSWERS[2:]],
    [_QUESTION, *_ANSWERS],
]


def expected_ids(tekken: Path, messages: list[dict[str, Any]]) -> list[int]:
    """What mistral-common itself makes of a conversation."""
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    reference: Any = MistralTokenizer.from_file(str(tekken))
    request: Any = ChatCompletionRequest.from_openai(messages=messages)
    tokens: list[int] = reference.encode_chat_completion(request).tokens
    return tokens


def tokens_line(tokenizer: Tokenizer, tekken: Path) -> Line:
    """Every conversation by both."""
    counts, wrong = 0, 0
    for messages in CONVERSATIONS:
        wanted = expected_ids(tekken, messages)
        counts += len(wanted)
        wrong += tokenizer.encode_chat(messages, raw_system=True) != wanted
    figure = f"{len(CONVERSATIONS) - wrong} of {len(CONVERSATIONS)} conversations, {counts} ids"
    return judged("ids against mistral-common", not wrong, figure)
