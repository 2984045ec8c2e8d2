"""A conversation in the order that Mistral's template knows, whatever order its caller has it in.

The template has a system prompt at its head and then user and assistant in turn. Clients send more:
instructions in the middle or at the end, and assistant turns in which nothing was said. Imports
mistral_common.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mistral_common.protocol.instruct.chunk import TextChunk
from mistral_common.protocol.instruct.messages import (
    AssistantMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)

from mlx_magistral.text.messages import ChatMessage, chunks_of

# Around instructions that come after the head: the model has no other sign for who speaks there.
_OPEN, _CLOSE = "<system>\n", "\n</system>"


@dataclass(frozen=True)
class Placed:
    """A message and its place in the caller's own list, which errors name."""

    message: ChatMessage
    index: int


def arrange(messages: Sequence[ChatMessage]) -> list[Placed]:
    """The same conversation without empty turns, with later instructions as part of user turns.

    Instructions that follow the head stand between ``<system>`` and ``</system>`` in the user turn
    beside them: mistral-common joins neighbouring user messages. Between a call and its results
    there is no room for them, so they come after the results. Whatever follows later, a message
    gives the same ids: what was computed of a conversation is good for its next turn.
    """
    given = [
        Placed(message, index) for index, message in enumerate(messages) if not _is_empty(message)
    ]
    head = _head_length(given)
    arranged = given[:head]
    waiting: list[Placed] = []
    open_calls = 0
    for placed in given[head:]:
        message = placed.message
        if isinstance(message, SystemMessage):
            waiting.append(Placed(UserMessage(content=_marked(message)), placed.index))
        elif isinstance(message, ToolMessage):
            open_calls -= 1
            arranged.append(placed)
        else:
            arranged += waiting
            waiting.clear()
            arranged.append(placed)
            calls = message.tool_calls if isinstance(message, AssistantMessage) else None
            open_calls = len(calls or ())
        if open_calls <= 0:
            arranged += waiting
            waiting.clear()
    return [*arranged, *waiting]


def _head_length(given: Sequence[Placed]) -> int:
    """How many messages are the system prompt: the leading ones, unless there is nothing else."""
    for count, placed in enumerate(given):
        if not isinstance(placed.message, SystemMessage):
            return count
    return max(len(given) - 1, 0)


def _is_empty(message: ChatMessage) -> bool:
    """Whether it is a turn of the assistant in which nothing was said."""
    return isinstance(message, AssistantMessage) and not (
        message.tool_calls or any(_has_text(chunk) for chunk in chunks_of(message))
    )


def _has_text(chunk: object) -> bool:
    return not isinstance(chunk, TextChunk) or bool(chunk.text)


def _marked(message: SystemMessage) -> str:
    text = "\n\n".join(
        chunk.text if isinstance(chunk, TextChunk) else chunk.thinking
        for chunk in chunks_of(message)
    )
    return f"{_OPEN}{text}{_CLOSE}"
