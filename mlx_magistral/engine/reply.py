"""Events in, one whole Reply out. What ``generate`` returns and ``--json`` prints."""

from mlx_magistral.events import (
    ContentDelta,
    Event,
    Finished,
    ReasoningDelta,
    Reply,
    ToolCall,
    ToolCallDelta,
)


class ReplyCollector:
    """Joins the events of one reply. Feed all of them, the Finished included, then ``reply()``."""

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name
        self._reasoning: list[str] = []
        self._content: list[str] = []
        self._tool_calls: list[ToolCall] = []
        self._finished: Finished | None = None

    def feed(self, event: Event) -> None:
        match event:
            case ReasoningDelta(text=text):
                self._reasoning.append(text)
            case ContentDelta(text=text):
                self._content.append(text)
            case ToolCallDelta():
                self._add_to_tool_call(event)
            case Finished():
                self._finished = event

    @property
    def finished(self) -> Finished:
        """The reply's last event."""
        assert self._finished is not None, "a reply ends with Finished"
        return self._finished

    def reply(self) -> Reply:
        """The whole reply; empty reasoning or content is None."""
        return Reply(
            model=self.model_name,
            reasoning="".join(self._reasoning) or None,
            content="".join(self._content) or None,
            tool_calls=list(self._tool_calls),
            finish_reason=self.finished.reason,
            usage=self.finished.usage,
            timings=self.finished.timings,
            limit=self.finished.limit,
            invalid=self.finished.invalid,
        )

    def _add_to_tool_call(self, delta: ToolCallDelta) -> None:
        if delta.index == len(self._tool_calls):
            call = ToolCall(delta.id or "", delta.name or "", delta.arguments)
            self._tool_calls.append(call)
            return
        call = self._tool_calls[delta.index]
        self._tool_calls[delta.index] = ToolCall(
            call.id, call.name, call.arguments + delta.arguments
        )
