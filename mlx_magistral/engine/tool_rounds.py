"""The tool loop: a reply that calls functions, their results, the next reply, until an answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import Event, FinishReason, Reply, ToolCall
from mlx_magistral.options import require_whole
from mlx_magistral.text.functions import call_function, functions_by_name

# Runs one call and gives its result as text.
RunCall = Callable[[ToolCall], str]


def answer_with_tools(
    stream: Callable[..., Iterable[Event]],
    messages: str | Sequence[Any],
    tools: Sequence[Any] | None,
    *,
    name: str,
    max_rounds: int,
    **options: Any,
) -> Reply:
    """Stream replies and call the Python functions among ``tools`` until one is an answer.

    The reply is handed back as it is where a tool is no function of ours, or the rounds are used
    up: it ends with TOOL_CALLS. A tool_choice holds for the first round alone.
    """
    require_whole("max_tool_rounds", max_rounds)
    functions = functions_by_name(tools)
    conversation = as_list(messages)
    for left in range(max_rounds, -1, -1):
        collector = ReplyCollector(name)
        for event in stream(conversation, tools=tools, **options):
            collector.feed(event)
        reply = collector.reply()
        if left == 0 or not can_run(reply, functions):
            return reply
        conversation += round_messages(
            reply, lambda call: call_function(functions[call.name], call.arguments)
        )
        options.pop("tool_choice", None)
    return reply


def can_run(reply: Reply, functions: Mapping[str, object]) -> bool:
    """Whether the reply calls tools, and all of them are at hand."""
    return reply.finish_reason is FinishReason.TOOL_CALLS and all(
        call.name in functions for call in reply.tool_calls
    )


def round_messages(reply: Reply, run_call: RunCall) -> list[dict[str, Any]]:
    """The reply and the result of each of its calls, as messages to go on with."""
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in reply.tool_calls
    ]
    said = {"content": reply.content, "reasoning": reply.reasoning}
    results = [
        {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": run_call(call)}
        for call in reply.tool_calls
    ]
    return [{"role": "assistant", "tool_calls": calls, **said}, *results]


def as_list(messages: str | Sequence[Any]) -> list[Any]:
    """The conversation as a list of one's own; a text is one user message."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    return list(messages)
