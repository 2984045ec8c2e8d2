"""The output items of a response, and the events that tell of them while they grow."""

import secrets
from typing import Any

from mlx_magistral.events import ContentDelta, Event, ReasoningDelta, ToolCallDelta

Piece = dict[str, Any]


class Items:
    """Events in, stream events out; ``items`` are the items so far, whole once all is fed."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._kind: tuple[str, int] | None = None

    def feed(self, index: int, event: Event) -> list[Piece]:
        """The events that follow from one of the reply's; ``index`` is always 0 here."""
        match event:
            case ReasoningDelta(text=text):
                return [*self._begin(("reasoning", 0), None), self._grow(text)]
            case ContentDelta(text=text):
                return [*self._begin(("message", 0), None), self._grow(text)]
            case ToolCallDelta():
                opening = self._begin(("function_call", event.index), event)
                if not event.arguments:
                    return opening
                self.items[-1]["arguments"] += event.arguments
                kind = "response.function_call_arguments.delta"
                return [*opening, {"type": kind, **self._place(), "delta": event.arguments}]
        return self._close()

    def _begin(self, kind: tuple[str, int], call: ToolCallDelta | None) -> list[Piece]:
        if self._kind == kind:
            return []
        pieces = self._close()
        self._kind = kind
        item = {"id": f"{_PREFIXES[kind[0]]}_{secrets.token_hex(12)}", "type": kind[0]}
        if call is not None:
            self.items.append({**item, "call_id": call.id, "name": call.name, "arguments": ""})
        elif kind[0] == "reasoning":
            self.items.append({**item, "summary": [], "content": []})
        else:
            self.items.append({**item, "role": "assistant", "content": []})
        self.items[-1]["status"] = "in_progress"
        added = {
            "type": "response.output_item.added",
            "output_index": self._place()["output_index"],
        }
        pieces.append({**added, "item": {**self.items[-1]}})
        if call is None:
            part = _part(kind[0], "")
            self.items[-1]["content"] = [part]
            added = {"type": "response.content_part.added", **self._place(), "content_index": 0}
            pieces.append({**added, "part": {**part}})
        return pieces

    def _grow(self, text: str) -> Piece:
        item = self.items[-1]
        item["content"][0]["text"] += text
        delta = {**self._place(), "content_index": 0, "delta": text}
        if item["type"] == "reasoning":
            return {"type": "response.reasoning_text.delta", **delta}
        return {"type": "response.output_text.delta", **delta, "logprobs": []}

    def _close(self) -> list[Piece]:
        if self._kind is None:
            return []
        self._kind = None
        item, place = self.items[-1], self._place()
        item["status"] = "completed"
        pieces: list[Piece] = []
        if item["type"] == "function_call":
            done = {"type": "response.function_call_arguments.done", **place}
            pieces.append({**done, "name": item["name"], "arguments": item["arguments"]})
        else:
            part = item["content"][0]
            inside = {**place, "content_index": 0}
            if item["type"] == "reasoning":
                done = {"type": "response.reasoning_text.done", **inside, "text": part["text"]}
            else:
                done = {"type": "response.output_text.done", **inside, "text": part["text"]}
                done["logprobs"] = []
            pieces.append(done)
            pieces.append({"type": "response.content_part.done", **inside, "part": {**part}})
        done = {"type": "response.output_item.done", "output_index": place["output_index"]}
        return [*pieces, {**done, "item": {**item}}]

    def _place(self) -> dict[str, Any]:
        return {"item_id": self.items[-1]["id"], "output_index": len(self.items) - 1}


_PREFIXES = {"reasoning": "rs", "message": "msg", "function_call": "fc"}


def _part(kind: str, text: str) -> dict[str, Any]:
    if kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
