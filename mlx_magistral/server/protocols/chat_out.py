"""A whole chat reply as OpenAI writes it, from the events of its copies."""

from collections.abc import Sequence
from typing import Any

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import ContentDelta, Event, ReasoningDelta
from mlx_magistral.server.protocols.openai_words import (
    finish_reason,
    invalid_body,
    logprob_body,
    usage_body,
)


class LogprobKeeper:
    """The logprobs of whole replies, which a ReplyCollector does not keep."""

    def __init__(self, count: int) -> None:
        self.content: list[list[dict[str, Any]]] = [[] for _ in range(count)]

    def feed(self, index: int, event: Event) -> None:
        if isinstance(event, ReasoningDelta | ContentDelta):
            self.content[index] += [logprob_body(each) for each in event.logprobs]


def completion_body(
    head: dict[str, Any], replies: Sequence[ReplyCollector], logprobs: LogprobKeeper | None
) -> dict[str, Any]:
    """The body; ``head`` has what names the reply and the model."""
    choices = [_choice(index, said, logprobs) for index, said in enumerate(replies)]
    usage = usage_body([said.finished.usage for said in replies])
    return {**head, "object": "chat.completion", "choices": choices, "usage": usage}


def _choice(index: int, said: ReplyCollector, logprobs: LogprobKeeper | None) -> dict[str, Any]:
    reply, finished = said.reply(), said.finished
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in reply.tool_calls
    ]
    message = {
        "role": "assistant",
        "content": reply.content,
        "refusal": None,
        "reasoning": reply.reasoning,
        "reasoning_content": reply.reasoning,
        **({"tool_calls": calls} if calls else {}),
    }
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs and {"content": logprobs.content[index], "refusal": None},
        "finish_reason": finish_reason(finished),
        "stop_reason": finished.stop,
        **invalid_body(finished),
    }
