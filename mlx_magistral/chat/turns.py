"""Turns of a conversation, and what of it the model is shown.

A turn is a user's message with all that follows it: replies, tool calls and their results. Messages
are OpenAI dicts with the ``reasoning`` beside the ``content``; mistral-common reads them so.
"""

from collections.abc import Sequence
from typing import Any

from mlx_magistral.engine.tool_rounds import RunCall, round_messages
from mlx_magistral.events import Reply

Message = dict[str, Any]


def tool_messages(reply: Reply, run_call: RunCall) -> list[Message]:
    """Run the reply's calls; a message for each result."""
    return round_messages(reply, [run_call(call) for call in reply.tool_calls])[1:]


def split_turns(messages: Sequence[Message]) -> list[list[Message]]:
    """The messages, which start with a user's, cut before each message of the user."""
    turns: list[list[Message]] = []
    for message in messages:
        if message["role"] == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def is_answered(turn: Sequence[Message]) -> bool:
    """Whether the turn ends in an answer: one that was stopped in its thoughts does not."""
    last = turn[-1]
    return last["role"] == "assistant" and bool((last.get("content") or "").strip())


def shown_to_model(messages: Sequence[Message], *, keep_reasoning: bool) -> list[Message]:
    """The answered turns, whole or without their thoughts.

    A question without an answer (stopped, failed, killed) is kept on file, and not shown: the
    model would read it as a part of the next one.
    """
    shown = [message for turn in split_turns(messages) if is_answered(turn) for message in turn]
    if keep_reasoning:
        return shown
    return [{key: each[key] for key in each if key != "reasoning"} for each in shown]
