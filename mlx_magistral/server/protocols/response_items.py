"""The output items of a response, and the events that tell of them while they grow."""

import secrets
from typing import Any

from mlx_magistral.events import ContentDelta, Event, ReasoningDelta, ToolCallDelta
from mlx_magistral.server.protocols.response_tools import OfferedTool, ResponseTools, custom_input

Piece = dict[str, Any]

_PREFIXES = {
    "reasoning": "rs",
    "message": "msg",
    "function_call": "fc",
    "custom_tool_call": "ctc",
}


class Items:
    """Events in, stream events out; ``items`` are the items so far, whole once all is fed.

    Thinking is sent twice, as the model's own text and as its summary: Codex and the AI SDK show
    the latter alone, and send it back.
    """

    def __init__(self, tools: ResponseTools) -> None:
        self.items: list[dict[str, Any]] = []
        self._tools = tools
        self._kind: tuple[str, int] | None = None
        self._arguments = ""  # of a custom call, which is a text once it is whole

    def feed(self, index: int, event: Event) -> list[Piece]:
        """The events that follow from one of the reply's; ``index`` is always 0 here."""
        match event:
            case ReasoningDelta(text=text):
                return [*self._begin(("reasoning", 0), None), *self._grow(text)]
            case ContentDelta(text=text):
                return [*self._begin(("message", 0), None), *self._grow(text)]
            case ToolCallDelta():
                opening = self._begin(("call", event.index), event)
                return [*opening, *self._grow_call(event.arguments)]
        return self._close()

    def _begin(self, kind: tuple[str, int], call: ToolCallDelta | None) -> list[Piece]:
        if self._kind == kind:
            return []
        pieces = self._close()
        self._kind = kind
        self.items.append(_call_item(call, self._tools) if call else _item(kind[0]))
        item, place = self.items[-1], self._place()
        added = {"type": "response.output_item.added", "output_index": place["output_index"]}
        pieces.append({**added, "item": {**item}})
        if call is None:
            part = _part(kind[0], "")
            item["content"] = [part]
            added = {"type": "response.content_part.added", **place, "content_index": 0}
            pieces.append({**added, "part": {**part}})
        if kind[0] == "reasoning":
            item["summary"] = [_summary("")]
            added = {"type": "response.reasoning_summary_part.added", **place, "summary_index": 0}
            pieces.append({**added, "part": _summary("")})
        return pieces

    def _grow(self, text: str) -> list[Piece]:
        item, place = self.items[-1], self._place()
        item["content"][0]["text"] += text
        delta = {**place, "content_index": 0, "delta": text}
        if item["type"] == "message":
            return [{"type": "response.output_text.delta", **delta, "logprobs": []}]
        summary = {**place, "summary_index": 0, "delta": text}
        return [
            {"type": "response.reasoning_text.delta", **delta},
            {"type": "response.reasoning_summary_text.delta", **summary},
        ]

    def _grow_call(self, arguments: str) -> list[Piece]:
        item = self.items[-1]
        if item["type"] == "custom_tool_call":
            self._arguments += arguments
            return []
        if not arguments:
            return []
        item["arguments"] += arguments
        kind = "response.function_call_arguments.delta"
        return [{"type": kind, **self._place(), "delta": arguments}]

    def _close(self) -> list[Piece]:
        if self._kind is None:
            return []
        self._kind = None
        item, place = self.items[-1], self._place()
        item["status"] = "completed"
        match item["type"]:
            case "function_call":
                done = {"type": "response.function_call_arguments.done", **place}
                pieces = [{**done, "name": item["name"], "arguments": item["arguments"]}]
            case "custom_tool_call":
                pieces = self._custom_pieces(item, place)
            case "reasoning":
                pieces = _reasoning_pieces(item, place)
            case _:
                pieces = _message_pieces(item, place)
        done = {"type": "response.output_item.done", "output_index": place["output_index"]}
        return [*pieces, {**done, "item": {**item}}]

    def _custom_pieces(self, item: dict[str, Any], place: dict[str, Any]) -> list[Piece]:
        item["input"] = custom_input(self._arguments)
        self._arguments = ""
        kind = "response.custom_tool_call_input"
        return [
            {"type": f"{kind}.delta", **place, "delta": item["input"]},
            {"type": f"{kind}.done", **place, "input": item["input"]},
        ]

    def _place(self) -> dict[str, Any]:
        return {"item_id": self.items[-1]["id"], "output_index": len(self.items) - 1}


def _item(kind: str) -> dict[str, Any]:
    item = _with_id(kind)
    own: dict[str, Any] = {"summary": []} if kind == "reasoning" else {"role": "assistant"}
    return {**item, **own, "content": [], "status": "in_progress"}


def _call_item(call: ToolCallDelta, tools: ResponseTools) -> dict[str, Any]:
    """The item of a call, under the client's own name for the tool."""
    name = call.name or ""
    tool = tools.named(name) or OfferedTool(name, name, None, False, {})
    kind, text = ("custom_tool_call", "input") if tool.is_custom else ("function_call", "arguments")
    item = {**_with_id(kind), "call_id": call.id, "name": tool.name, text: ""}
    if tool.namespace is not None:
        item["namespace"] = tool.namespace
    return {**item, "status": "in_progress"}


def _with_id(kind: str) -> dict[str, Any]:
    return {"id": f"{_PREFIXES[kind]}_{secrets.token_hex(12)}", "type": kind}


def _message_pieces(item: dict[str, Any], place: dict[str, Any]) -> list[Piece]:
    part, inside = item["content"][0], {**place, "content_index": 0}
    done = {"type": "response.output_text.done", **inside, "text": part["text"], "logprobs": []}
    return [done, {"type": "response.content_part.done", **inside, "part": {**part}}]


def _reasoning_pieces(item: dict[str, Any], place: dict[str, Any]) -> list[Piece]:
    part, inside = item["content"][0], {**place, "content_index": 0}
    text = part["text"]
    item["summary"] = [_summary(text)]
    summed = {**place, "summary_index": 0}
    return [
        {"type": "response.reasoning_text.done", **inside, "text": text},
        {"type": "response.content_part.done", **inside, "part": {**part}},
        {"type": "response.reasoning_summary_text.done", **summed, "text": text},
        {"type": "response.reasoning_summary_part.done", **summed, "part": _summary(text)},
    ]


def _part(kind: str, text: str) -> dict[str, Any]:
    if kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}
