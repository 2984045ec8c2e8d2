"""Events become one reply, and a reply becomes the documented JSON."""

import json
from dataclasses import replace

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import (
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    Reply,
    Timings,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from mlx_magistral.text.messages import to_messages

FINISHED = Finished(FinishReason.TOOL_CALLS, Usage(5, 9, 4), Timings(0.1, 0.2, 25.0, 50.0, 1000))


def test_pieces_are_joined_by_kind_and_index() -> None:
    collector = ReplyCollector("m")
    for event in (
        ReasoningDelta("a"),
        ReasoningDelta("b"),
        ContentDelta("c"),
        ToolCallDelta(0, "id0", "add", "{"),
        ToolCallDelta(0, None, None, "}"),
        ToolCallDelta(1, "id1", "sub", "{}"),
        FINISHED,
    ):
        collector.feed(event)
    reply = collector.reply()
    assert (reply.reasoning, reply.content) == ("ab", "c")
    assert reply.tool_calls == [ToolCall("id0", "add", "{}"), ToolCall("id1", "sub", "{}")]
    assert reply.finish_reason == "tool_calls"


def test_nothing_said_is_null_in_json() -> None:
    collector = ReplyCollector("m")
    collector.feed(FINISHED)
    assert json.loads(json.dumps(collector.reply().to_dict())) == {
        "model": "m",
        "reasoning": None,
        "content": None,
        "tool_calls": [],
        "finish_reason": "tool_calls",
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 9,
            "reasoning_tokens": 4,
            "cached_tokens": 0,
            "answer_tokens": 5,
        },
        "timings": {
            "load_s": 0.1,
            "ttft_s": 0.2,
            "prefill_tps": 25.0,
            "decode_tps": 50.0,
            "peak_memory_bytes": 1000,
            "reasoning_s": 0.0,
            "tokens_per_pass": 1.0,
            "acceptance": None,
            "guesses": 0,
        },
    }


def said(reason: FinishReason = FinishReason.STOP) -> Reply:
    end = Finished(reason, Usage(5, 9, 1_234), Timings(0, 0, 0, 0, 0))
    collector = ReplyCollector("m")
    for event in (ReasoningDelta("a < b & </details>\n"), ContentDelta("**85**"), end):
        collector.feed(event)
    return collector.reply()


def test_a_message_to_append_has_what_was_written_and_no_more() -> None:
    reply = said()
    assert reply.message == {
        "role": "assistant",
        "content": "**85**",
        "reasoning": "a < b & </details>\n",
    }
    called = replace(reply, content=None, tool_calls=[ToolCall("id0", "add", "{}")])
    assert "content" not in called.message
    function = {"name": "add", "arguments": "{}"}
    assert called.message["tool_calls"] == [{"id": "id0", "type": "function", "function": function}]
    assert to_messages([{"role": "user", "content": "x"}, reply.message])[1].content is not None


def test_a_notebook_shows_the_thinking_folded_and_the_answer_as_markdown() -> None:
    assert said()._repr_markdown_() == (
        "<details><summary>Thinking, 1,234 tokens</summary>\n\n"
        "a &lt; b &amp; &lt;/details>\n\n</details>\n\n**85**"
    )
    assert said(FinishReason.LENGTH)._repr_markdown_().endswith("*Ended by: length*")
