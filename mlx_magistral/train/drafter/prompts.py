"""Prompts of training data: all that was asked, each up to where the assistant is to speak.

What was answered is left out: the target gives answers of its own (replies.py). In a conversation
each question is a prompt with all that was said before it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlx_magistral.errors import TrainingError
from mlx_magistral.train.reading import Record


@dataclass(frozen=True)
class Prompt:
    """What to ask: messages in OpenAI's shape, up to what the assistant is to say; ``place`` is
    where it comes from."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Any] | None
    place: str


def prompts_of(records: Iterable[Record]) -> list[Prompt]:
    """In order; raises TrainingError naming the place of what asks nothing."""
    prompts: list[Prompt] = []
    for record in records:
        prompts += _of_record(record)
    return prompts


def _of_record(record: Record) -> list[Prompt]:
    content, place = record.content, record.place
    tools = content.get("tools")
    messages = content.get("messages", content.get("prompt"))
    if isinstance(messages, str):
        return [Prompt([{"role": "user", "content": messages}], None, place)]
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise TrainingError(
            f'{place} asks nothing: give {{"messages": [...]}} or {{"prompt": "..."}} a line.'
        )
    asked = []
    for count, message in enumerate(messages, 1):
        if message.get("role") in ("user", "tool") and _is_answered_next(messages, count):
            before = [_without_thoughts(each) for each in messages[:count]]
            asked.append(Prompt(before, tools, place))
    if not asked:
        raise TrainingError(f"{place} has no message of a user.")
    return asked


def _is_answered_next(messages: Sequence[Mapping[str, Any]], count: int) -> bool:
    """Whether the assistant speaks after so many messages."""
    return count == len(messages) or messages[count].get("role") == "assistant"


def _without_thoughts(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """As a model is shown what was said: thinking of earlier turns is dropped."""
    return {key: message[key] for key in message if key not in ("reasoning", "reasoning_content")}
