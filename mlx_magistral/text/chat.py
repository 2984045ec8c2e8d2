"""A conversation to prompt ids, through mistral-common alone: never by way of a rendered string.

Joins the official system prompt in, and turns every error of the libraries underneath into a
PromptError that names the message. Imports mistral_common.
"""

from collections.abc import Sequence
from typing import Any, Literal

from mistral_common.exceptions import InvalidMessageStructureException, MistralCommonException
from mistral_common.protocol.instruct.chunk import ContentChunk, TextChunk, ThinkChunk
from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, UserMessage
from mistral_common.protocol.instruct.normalize import get_normalizer
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.tool_calls import Tool
from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
from mistral_common.tokens.tokenizers.base import TokenizerVersion
from mistral_common.tokens.tokenizers.instruct import InstructTokenizerV13
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from mlx_magistral.errors import PromptError
from mlx_magistral.text.messages import (
    LIBRARY_ERRORS,
    ChatMessage,
    chunks_of,
    explain,
    is_prefix,
    to_messages,
    to_tools,
)
from mlx_magistral.text.prompt import PromptPart, SystemPrompt, Thinking

# Serving mode insists on a model's name and does nothing with it.
_MODEL_NAME = "magistral"

_TOO_REGULAR = (
    "The text cannot be split into tokens ({error}). Shorten its longest run of one character."
)
_ORDER = (
    " Messages go system, then user and assistant in turn, and each tool call needs its result "
    "before the next message."
)

_THINK_PREFIXES: dict[Thinking, AssistantMessage | None] = {
    "auto": None,
    "force": AssistantMessage(content=[ThinkChunk(thinking="", closed=False)], prefix=True),
    "skip": AssistantMessage(content=[ThinkChunk(thinking="")], prefix=True),
}


class ChatEncoder:
    """Validator, normalizer and encoder of tokenizer v13, as MistralTokenizer puts them together.

    Put together here because MistralTokenizer's module imports the hub client and every other
    tokenizer version. The validator's mode is ``serving``, what Mistral's own API runs: unlike
    ``test`` it refuses tool calls that got no result, and so does the OpenAI API.
    """

    def __init__(self, tekkenizer: Tekkenizer, system_prompt: SystemPrompt) -> None:
        version = TokenizerVersion.v13
        self.system_prompt = system_prompt
        self._tekkenizer = tekkenizer
        self._validator = get_validator(version, ValidationMode.serving)
        self._normalizer = get_normalizer(version)
        self._instruct = InstructTokenizerV13(tekkenizer)

    def encode_text(self, text: str) -> list[int]:
        """Plain text to ids; raises PromptError where tiktoken gives up."""
        try:
            return self._tekkenizer.encode(text, bos=False, eos=False)
        except LIBRARY_ERRORS as error:
            raise PromptError(_TOO_REGULAR.format(error=explain(error))) from error

    def encode(
        self,
        messages: str | Sequence[Any],
        tools: Sequence[Any] | None,
        *,
        raw_system: bool,
        thinking: Thinking,
    ) -> list[int]:
        """The prompt's ids; the arguments are those of Tokenizer.encode_chat."""
        if thinking not in _THINK_PREFIXES:
            raise PromptError(f"thinking must be auto, force or skip, not {thinking!r}.")
        given = to_messages(messages)
        _require_a_question(given)
        conversation = given if raw_system else self._with_official_prompt(given)
        prefix = _THINK_PREFIXES[thinking]
        if prefix is not None and is_prefix(given[-1]):
            raise PromptError(
                "The last message is a prefix to go on with, which decides on the thinking by "
                f"itself: leave out thinking={thinking!r}."
            )
        if prefix is not None:
            conversation = [*conversation, prefix]
        return self._encode(conversation, to_tools(tools), given)

    def begun_part(self, messages: str | Sequence[Any]) -> Literal["thinking", "answer"] | None:
        """What a last message that is a prefix breaks off in; None where there is no prefix."""
        given = to_messages(messages)
        if not given or not is_prefix(given[-1]):
            return None
        end = chunks_of(given[-1])[-1]
        return "thinking" if isinstance(end, ThinkChunk) and not end.closed else "answer"

    def _with_official_prompt(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        """The official prompt and the caller's leading system texts as one system message.

        mistral-common joins neighbouring texts by two newlines.
        """
        content: list[ContentChunk] = [_chunk(part) for part in self.system_prompt.parts]
        rest = list(messages)
        while rest and isinstance(rest[0], SystemMessage):
            content += chunks_of(rest.pop(0))
        return [SystemMessage(content=content), *rest]

    def _encode(
        self, conversation: list[ChatMessage], tools: list[Tool] | None, given: list[ChatMessage]
    ) -> list[int]:
        try:
            request: ChatCompletionRequest[Any] = ChatCompletionRequest(
                model=_MODEL_NAME, messages=conversation, tools=tools
            )
            self._validator.validate_request(request)
            normalized = self._normalizer.from_chat_completion_request(request)
            return list(self._instruct.encode_instruct(normalized).tokens)
        except MistralCommonException as error:
            advice = _ORDER if isinstance(error, InvalidMessageStructureException) else ""
            raise PromptError(f"{_misplaced(given)}{explain(error)}.{advice}") from error
        except LIBRARY_ERRORS as error:
            for index, message in enumerate(given):
                self._require_encodable(message, index)
            raise PromptError(f"The conversation cannot be encoded: {explain(error)}.") from error

    def _require_encodable(self, message: ChatMessage, index: int) -> None:
        for chunk in chunks_of(message):
            try:
                self.encode_text(chunk.text if isinstance(chunk, TextChunk) else chunk.thinking)
            except PromptError as error:
                raise PromptError(f"messages[{index}] ({message.role}): {error}") from error


def _require_a_question(messages: list[ChatMessage]) -> None:
    """There is something to answer: a user's text, or a tool's result."""
    if not messages:
        raise PromptError("The list of messages is empty. Give at least one user message.")
    last = messages[-1]
    if last.role not in ("user", "tool") and not is_prefix(last):
        raise PromptError(
            f"The last message is the {last.role}'s. End with a user message or a tool result, or "
            'mark an assistant message that the model shall go on with by "prefix": true.'
        )
    if isinstance(last, UserMessage) and not any(
        isinstance(chunk, TextChunk) and chunk.text.strip() for chunk in chunks_of(last)
    ):
        raise PromptError("The prompt is empty. Write something in the last user message.")
    if not any(isinstance(message, UserMessage) for message in messages):
        raise PromptError("The conversation has no user message. Give at least one.")


def _misplaced(messages: list[ChatMessage]) -> str:
    """The message that mistral-common stumbled over, found by validating ever longer beginnings.

    Its errors do not say which one it was. Empty where only the whole has no valid end.
    """
    validator = get_validator(TokenizerVersion.v13, ValidationMode.agnostic)
    for count in range(2, len(messages) + 1):
        try:
            validator.validate_messages(messages[:count])
        except MistralCommonException:
            return f"messages[{count - 1}] ({messages[count - 1].role}): "
    return ""


def _chunk(part: PromptPart) -> TextChunk | ThinkChunk:
    return ThinkChunk(thinking=part.text) if part.is_thinking else TextChunk(text=part.text)
