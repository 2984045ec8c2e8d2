"""Tools in rounds: a reply that calls them, their results, the next reply, until an answer.

ToolRounds holds the conversation and waits for nothing; whoever makes the replies, one after the
other, on an event loop or in a batch, asks it what to run and what to ask next.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import Event, FinishReason, Reply, ToolCall
from mlx_magistral.options import require_messages, require_whole
from mlx_magistral.text.functions import RunTool, run_tool, run_tool_now, tools_by_name

# Runs one call and gives its result as text.
RunCall = Callable[[ToolCall], str]


class ToolRounds:
    """One conversation while its tools are called.

    ``messages`` and ``options`` are what to ask next, as keywords of ``stream``. A tool_choice
    holds for the first round alone.
    """

    def __init__(
        self,
        messages: str | Sequence[Any],
        tools: Sequence[Any] | None,
        max_rounds: int,
        options: Mapping[str, Any],
    ) -> None:
        require_whole("max_tool_rounds", max_rounds)
        self.messages = as_list(messages)
        self.options = {**options, "tools": tools}
        self._tools = tools_by_name(tools)
        self._asked = len(self.messages)
        self._left = max_rounds

    def calls(self, reply: Reply) -> list[tuple[RunTool, ToolCall]]:
        """What to run now, each with its tool; nothing where the reply is the last.

        It is where it calls nothing, or a tool that is not at hand, or the rounds are used up.
        """
        if self._left <= 0 or not can_run(reply, self._tools):
            return []
        return [(self._tools[call.name], call) for call in reply.tool_calls]

    def add(self, reply: Reply, results: Sequence[str]) -> None:
        """Go on with what the reply's calls gave, in their order."""
        self._left -= 1
        self.messages += round_messages(reply, results)
        self.options.pop("tool_choice", None)

    def finished(self, reply: Reply) -> Reply:
        """The last reply, with the rounds before it."""
        return replace(reply, rounds=self.messages[self._asked :])


def answer_with_tools(
    stream: Callable[..., Iterable[Event]], name: str, rounds: ToolRounds
) -> Reply:
    """Stream replies and call the tools at hand until one is an answer."""
    while True:
        collector = ReplyCollector(name)
        for event in stream(rounds.messages, **rounds.options):
            collector.feed(event)
        reply = collector.reply()
        calls = rounds.calls(reply)
        if not calls:
            return rounds.finished(reply)
        rounds.add(reply, [run_tool_now(tool, call.arguments) for tool, call in calls])


async def answer_with_tools_async(
    stream: Callable[..., AsyncIterable[Event]], name: str, rounds: ToolRounds
) -> Reply:
    """The same on an event loop, where the calls of one round run at the same time."""
    import asyncio

    while True:
        collector = ReplyCollector(name)
        async for event in stream(rounds.messages, **rounds.options):
            collector.feed(event)
        reply = collector.reply()
        calls = rounds.calls(reply)
        if not calls:
            return rounds.finished(reply)
        running = [asyncio.ensure_future(run_tool(tool, call.arguments)) for tool, call in calls]
        try:
            rounds.add(reply, await asyncio.gather(*running))
        finally:  # One may have failed, or nobody waits any longer.
            for each in running:
                each.cancel()


def can_run(reply: Reply, tools: Mapping[str, object]) -> bool:
    """Whether the reply calls tools, and all of them are at hand."""
    return reply.finish_reason is FinishReason.TOOL_CALLS and all(
        call.name in tools for call in reply.tool_calls
    )


def round_messages(reply: Reply, results: Sequence[str]) -> list[dict[str, Any]]:
    """The reply and the result of each of its calls, as messages to go on with."""
    said = [
        {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": result}
        for call, result in zip(reply.tool_calls, results, strict=True)
    ]
    return [reply.message, *said]


def as_list(messages: str | Sequence[Any]) -> list[Any]:
    """The conversation as a list of one's own; a text is one user message. Raises PromptError."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    require_messages(messages)
    return list(messages)
