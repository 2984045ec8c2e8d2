"""A conversation to ids and exact spans, by mistral-common in its finetuning mode and nothing else.

mistral-common gives no mask. Its encoder is asked message by message, in the order it puts them
together; noting how long each one is gives the spans, by position and never by text. In tokenizer
v13 thoughts of the history stay and tools come first, so every beginning of a conversation is a
prefix of its ids, and one pass learns all of its turns. Imports mistral_common.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct.chunk import TextChunk, ThinkChunk
from mistral_common.protocol.instruct.messages import (
    AssistantMessage,
    FinetuningAssistantMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from mistral_common.protocol.instruct.normalize import InstructRequestNormalizerV13
from mistral_common.protocol.instruct.request import ChatCompletionRequest, InstructRequest
from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
from mistral_common.tokens.tokenizers.base import TokenizerVersion
from mistral_common.tokens.tokenizers.instruct import InstructTokenizerV13

from mlx_magistral.errors import PromptError, TrainingError
from mlx_magistral.text.arrange import arrange
from mlx_magistral.text.messages import (
    LIBRARY_ERRORS,
    ChatMessage,
    chunks_of,
    explain,
    to_messages,
    to_tools,
)
from mlx_magistral.text.tokenizer import Tokenizer
from mlx_magistral.train.example import Example, LossOn, Span, packed

_THINK, _END_THINK = "[THINK]", "[/THINK]"


class _Spans(InstructTokenizerV13):
    """Notes what each message becomes: whether it is learned, and how many ids it has."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.parts: list[tuple[bool, int]] = []

    def encode_user_message(self, *arguments: Any, **options: Any) -> Any:
        return self._noted(super().encode_user_message(*arguments, **options), False)

    def encode_tool_message(self, *arguments: Any, **options: Any) -> Any:
        return self._noted(super().encode_tool_message(*arguments, **options), False)

    def encode_system_message(self, *arguments: Any, **options: Any) -> Any:
        return self._noted(super().encode_system_message(*arguments, **options), False)

    def encode_assistant_message(
        self, message: AssistantMessage, is_before_last_user_message: bool
    ) -> list[int]:
        tokens = super().encode_assistant_message(message, is_before_last_user_message)
        self.parts.append((getattr(message, "weight", None) != 0, len(tokens)))
        return tokens

    def _noted(self, encoded: Any, is_learned: bool) -> Any:
        self.parts.append((is_learned, len(encoded[0])))
        return encoded


class FinetuningEncoder:
    """Encodes examples of one tokenizer; ``raw_system`` leaves the official prompt out."""

    def __init__(
        self, tokenizer: Tokenizer, loss_on: LossOn = LossOn.ALL, *, raw_system: bool = False
    ) -> None:
        self._tokenizer = tokenizer
        self._loss_on = loss_on
        self._raw_system = raw_system
        version = TokenizerVersion.v13
        self._validator = get_validator(version, ValidationMode.finetuning)
        self._normalizer = InstructRequestNormalizerV13(
            UserMessage,
            FinetuningAssistantMessage,
            ToolMessage,
            SystemMessage,
            InstructRequest,
            None,
        )
        self._think = tokenizer.control_id(_THINK)
        self._end_think = tokenizer.control_id(_END_THINK)

    def chat(self, messages: Sequence[Any], tools: Sequence[Any] | None, place: str) -> Example:
        """A conversation; raises TrainingError naming ``place`` and the message."""
        try:
            conversation = _for_training(messages)
            if not self._raw_system:
                conversation = self._tokenizer.chat_encoder.with_official_prompt(conversation)
            tokens, parts = self._encode(conversation, tools)
        except PromptError as error:
            raise TrainingError(f"{place}: {error}") from error
        spans = self._spans(tokens, parts)
        if not spans:
            raise TrainingError(
                f"{place}: no message of the assistant has anything to learn. Add one, or give one "
                "of them a weight of 1."
            )
        return Example(packed(tokens), spans, place)

    def text(self, text: str, place: str) -> Example:
        """A document, learned whole; raises TrainingError."""
        try:
            tokens = [self._tokenizer.bos_id, *self._tokenizer.encode(text)]
        except PromptError as error:
            raise TrainingError(f"{place}: {error}") from error
        tokens.append(self._tokenizer.eos_id)
        return Example(packed(tokens), ((1, len(tokens)),), place)

    def _encode(
        self, conversation: list[ChatMessage], tools: Sequence[Any] | None
    ) -> tuple[list[int], list[tuple[bool, int]]]:
        encoder = _Spans(self._tokenizer.tekkenizer)
        try:
            request: ChatCompletionRequest[Any] = ChatCompletionRequest(
                messages=conversation, tools=to_tools(tools)
            )
            self._validator.validate_request(request)
            normalized = self._normalizer.from_chat_completion_request(request)
            tokens = list(encoder.encode_instruct(normalized).tokens)
        except (MistralCommonException, *LIBRARY_ERRORS) as error:
            raise PromptError(f"mistral-common refuses it: {explain(error)}.") from error
        return tokens, encoder.parts

    def _spans(self, tokens: Sequence[int], parts: Sequence[tuple[bool, int]]) -> tuple[Span, ...]:
        start = len(tokens) - sum(length for _, length in parts)  # after <s>
        spans: list[Span] = []
        for is_learned, length in parts:
            end = start + length
            if is_learned:
                is_all = self._loss_on is LossOn.ALL
                spans += [(start, end)] if is_all else self._outside_thinking(tokens, start, end)
            start = end
        return tuple(spans)

    def _outside_thinking(self, tokens: Sequence[int], start: int, end: int) -> list[Span]:
        """The message's stretches outside of think blocks; control ids mark them, never text."""
        spans, begun = [], start
        for place in range(start, end):
            if tokens[place] == self._think and place > begun:
                spans.append((begun, place))
            elif tokens[place] == self._end_think:
                begun = place + 1
        return [*spans, (begun, end)] if begun < end else spans


def _for_training(messages: Sequence[Any]) -> list[ChatMessage]:
    """mistral-common's messages, the assistant's with their weights; raises PromptError."""
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise PromptError(f"messages must be a list, not {type(messages).__name__}.")
    weights: list[float | None] = []
    plain: list[Any] = []
    for index, message in enumerate(messages):
        weight, rest = _take_weight(message, index)
        weights.append(weight)
        plain.append(rest)
    converted = to_messages(plain)
    if not any(isinstance(each, AssistantMessage) for each in converted):
        raise PromptError("it has no message of the assistant, so there is nothing to learn.")
    # In the order that prompts are served in.
    return [
        _finetuning(placed.message, weights[placed.index], placed.index)
        for placed in arrange(converted)
    ]


def _take_weight(message: Any, index: int) -> tuple[float | None, Any]:
    if not isinstance(message, Mapping) or "weight" not in message:
        return None, message
    weight = message["weight"]
    if weight not in (0, 1, None) or message.get("role") != "assistant":
        raise PromptError(
            f"messages[{index}] ({message.get('role')}): weight is {weight!r}; an assistant's may "
            "be 0 or 1, and no other message has one."
        )
    return weight, {key: value for key, value in message.items() if key != "weight"}


def _finetuning(message: ChatMessage, weight: float | None, index: int) -> ChatMessage:
    """The same message for the finetuning mode; thinking only where the model puts it."""
    place = f"messages[{index}] ({message.role})"
    if not isinstance(message, AssistantMessage):
        return message
    if message.prefix:
        raise PromptError(f"{place}: a prefix has no end to learn. Leave the mark out.")
    chunks = _with_thinking(chunks_of(message), place)
    for number, chunk in enumerate(chunks):
        if isinstance(chunk, ThinkChunk) and number > 0:
            raise PromptError(
                f"{place}: thinking comes after text, and the model thinks first. Put it in "
                "`reasoning`, or in the first part."
            )
        if isinstance(chunk, ThinkChunk) and not chunk.closed:
            raise PromptError(f"{place}: the thinking is not closed; the model would learn so.")
    return FinetuningAssistantMessage(
        content=[*chunks] or None, tool_calls=message.tool_calls, weight=weight
    )


def _with_thinking(
    chunks: list[TextChunk | ThinkChunk], place: str
) -> list[TextChunk | ThinkChunk]:
    """``[THINK]...[/THINK]`` that begins a text becomes thinking; anywhere else it is refused.

    As text it would be ordinary ids: the model would learn to spell the markers.
    """
    split: list[TextChunk | ThinkChunk] = []
    for chunk in chunks:
        if isinstance(chunk, TextChunk) and not split and chunk.text.startswith(_THINK):
            thinking, closed, rest = chunk.text.removeprefix(_THINK).partition(_END_THINK)
            if closed:
                split.append(ThinkChunk(thinking=thinking))
                chunk = TextChunk(text=rest)
                if not rest:
                    continue
        text = chunk.text if isinstance(chunk, TextChunk) else chunk.thinking
        if _THINK in text or _END_THINK in text:
            raise PromptError(
                f"{place}: {_THINK} or {_END_THINK} is written in the middle of a text. Put the "
                "thinking in `reasoning`."
            )
        split.append(chunk)
    return split
