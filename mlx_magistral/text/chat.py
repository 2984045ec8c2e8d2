"""A conversation to prompt ids, through mistral-common alone: never by way of a rendered string.

Joins the official system prompt in, and turns every error of the libraries underneath into a
PromptError that names the message. Imports mistral_common.
"""

from collections.abc import Sequence
from typing import Any, Literal

from mistral_common.exceptions import InvalidMessageStructureException, MistralCommonException
from mistral_common.protocol.instruct.chunk import TextChunk, ThinkChunk
from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, UserMessage
from mistral_common.protocol.instruct.normalize import get_normalizer
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.tool_calls import Tool
from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
from mistral_common.tokens.tokenizers.base import TokenizerVersion
from mistral_common.tokens.tokenizers.instruct import InstructTokenizerV13
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from mlx_magistral.errors import PromptError
from mlx_magistral.text.arrange import Placed, arrange
from mlx_magistral.text.json_schema import without_foreign_patterns
from mlx_magistral.text.messages import (
    LIBRARY_ERRORS,
    ChatMessage,
    chunks_of,
    explain,
    is_prefix,
    to_messages,
    to_tools,
)
from mlx_magistral.text.prompt import PromptPart, SystemPrompt, Thinking, card_prompt

# Serving mode insists on a model's name and does nothing with it.
_MODEL_NAME = "magistral"

_TOO_REGULAR = (
    "The text cannot be split into tokens ({error}). Shorten its longest run of one character."
)
_ORDER = (
    " User and assistant take turns, and each tool call needs its result before the next message."
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
        given = arrange(to_messages(messages))
        _require_a_question(given)
        conversation = [placed.message for placed in given]
        prefix = _THINK_PREFIXES[thinking]
        if prefix is not None and is_prefix(conversation[-1]):
            raise PromptError(
                "The last message is a prefix to go on with, which decides on the thinking by "
                f"itself: leave out thinking={thinking!r}."
            )
        if not raw_system:
            conversation = self.with_official_prompt(conversation)
        if prefix is not None:
            conversation = [*conversation, prefix]
        return self._encode(conversation, to_tools(tools), given)

    def begun_part(self, messages: str | Sequence[Any]) -> Literal["thinking", "answer"] | None:
        """What a last message that is a prefix breaks off in; None where there is no prefix."""
        given = arrange(to_messages(messages))
        if not given or not is_prefix(given[-1].message):
            return None
        end = chunks_of(given[-1].message)[-1]
        return "thinking" if isinstance(end, ThinkChunk) and not end.closed else "answer"

    def with_official_prompt(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        """One system message: the official prompt, then the caller's leading system texts.

        A caller's own template, which has a think block, is sent as it is. The official prompt as
        a text becomes the official one. mistral-common joins neighbouring texts by two newlines.
        """
        rest = list(messages)
        leading: list[list[TextChunk | ThinkChunk]] = []
        while rest and isinstance(rest[0], SystemMessage):
            leading.append(chunks_of(rest.pop(0)))
        content = [chunk for chunks in leading for chunk in chunks]
        if not any(isinstance(chunk, ThinkChunk) for chunk in content):
            content = self._joined_to_official(leading)
        return [SystemMessage(content=[*content]), *rest]

    def _joined_to_official(
        self, leading: list[list[TextChunk | ThinkChunk]]
    ) -> list[TextChunk | ThinkChunk]:
        official = self.system_prompt
        own: list[TextChunk | ThinkChunk] = []
        for chunks in leading:
            text = "\n\n".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk))
            for prompt in (self.system_prompt, card_prompt()):
                rest = prompt.rest_of(text)
                if rest is not None:
                    official = prompt
                    own += [TextChunk(text=rest)] if rest else []
                    break
            else:
                own += chunks
        return [*(_chunk(part) for part in official.parts), *own]

    def _encode(
        self, conversation: list[ChatMessage], tools: list[Tool] | None, given: list[Placed]
    ) -> list[int]:
        try:
            request: ChatCompletionRequest[Any] = ChatCompletionRequest(
                model=_MODEL_NAME, messages=conversation, tools=tools
            )
            self._validator.validate_request(_checkable(request))
            normalized = self._normalizer.from_chat_completion_request(request)
            return list(self._instruct.encode_instruct(normalized).tokens)
        except MistralCommonException as error:
            advice = _ORDER if isinstance(error, InvalidMessageStructureException) else ""
            place = self._wrong_tool(tools or []) or _misplaced(given)
            raise PromptError(f"{place}{explain(error)}.{advice}") from error
        except LIBRARY_ERRORS as error:
            for placed in given:
                self._require_encodable(placed)
            raise PromptError(f"The conversation cannot be encoded: {explain(error)}.") from error

    def _wrong_tool(self, tools: list[Tool]) -> str:
        """The first tool that is refused by itself; empty where none is."""
        for index, tool in enumerate(tools):
            alone: ChatCompletionRequest[Any] = ChatCompletionRequest(
                model=_MODEL_NAME, messages=[UserMessage(content="?")], tools=[tool]
            )
            try:
                self._validator.validate_request(_checkable(alone))
            except MistralCommonException:
                return f"tools[{index}] ({tool.function.name}): "
        return ""

    def _require_encodable(self, placed: Placed) -> None:
        message = placed.message
        for chunk in chunks_of(message):
            try:
                self.encode_text(chunk.text if isinstance(chunk, TextChunk) else chunk.thinking)
            except PromptError as error:
                place = f"messages[{placed.index}] ({message.role})"
                raise PromptError(f"{place}: {error}") from error


def _checkable(request: ChatCompletionRequest[Any]) -> ChatCompletionRequest[Any]:
    """The request without patterns that its check, which is Python's, cannot read."""
    if not request.tools:
        return request
    tools = []
    for tool in request.tools:
        plain = without_foreign_patterns(tool.function.parameters)
        function = tool.function.model_copy(update={"parameters": plain})
        tools.append(tool.model_copy(update={"function": function}))
    return request.model_copy(update={"tools": tools})


def _require_a_question(given: list[Placed]) -> None:
    """There is something to answer: a user's text, or a tool's result."""
    if not given:
        raise PromptError("The list of messages is empty. Give at least one user message.")
    last = given[-1].message
    if last.role not in ("user", "tool") and not is_prefix(last):
        raise PromptError(
            f"The last message is the {last.role}'s. End with a user message or a tool result, or "
            'mark an assistant message that the model shall go on with by "prefix": true.'
        )
    if isinstance(last, UserMessage) and not any(
        isinstance(chunk, TextChunk) and chunk.text.strip() for chunk in chunks_of(last)
    ):
        raise PromptError("The prompt is empty. Write something in the last user message.")
    if not any(isinstance(placed.message, UserMessage) for placed in given):
        raise PromptError("The conversation has no user message. Give at least one.")


def _misplaced(given: list[Placed]) -> str:
    """The message that mistral-common stumbled over, found by validating ever longer beginnings.

    Its errors do not say which one it was. Empty where only the whole has no valid end.
    """
    validator = get_validator(TokenizerVersion.v13, ValidationMode.agnostic)
    messages = [placed.message for placed in given]
    for count in range(2, len(messages) + 1):
        try:
            validator.validate_messages(messages[:count])
        except MistralCommonException:
            found = given[count - 1]
            return f"messages[{found.index}] ({found.message.role}): "
    return ""


def _chunk(part: PromptPart) -> TextChunk | ThinkChunk:
    return ThinkChunk(thinking=part.text) if part.is_thinking else TextChunk(text=part.text)
