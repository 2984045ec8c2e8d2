"""A whole text completion as OpenAI writes it, with the thinking beside it."""

from collections.abc import Sequence
from typing import Any

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import Finished
from mlx_magistral.server.protocols.openai_words import finish_reason, usage_body


def text_body(head: dict[str, Any], replies: Sequence[ReplyCollector]) -> dict[str, Any]:
    """The body; ``head`` has what names the completion and the model."""
    choices = []
    for index, said in enumerate(replies):
        reply = said.reply()
        choices.append(text_choice(index, reply.content or "", reply.reasoning, said.finished))
    return {
        **head,
        "choices": choices,
        "usage": usage_body([each.finished.usage for each in replies]),
    }


def text_choice(
    index: int, text: str, reasoning: str | None, end: Finished | None
) -> dict[str, Any]:
    """One completion, or a piece of it where ``end`` is None."""
    return {
        "index": index,
        "text": text,
        "reasoning": reasoning,
        "logprobs": None,
        "finish_reason": None if end is None else finish_reason(end),
    }
