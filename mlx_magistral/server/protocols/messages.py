"""``/v1/messages`` and ``/v1/messages/count_tokens``: Anthropic's protocol."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import (
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ToolCallDelta,
    Usage,
)
from mlx_magistral.server import sse
from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.server.protocols import fields
from mlx_magistral.server.protocols.effort import Effort, Thinking, budget_options
from mlx_magistral.server.protocols.messages_in import to_chat, to_functions
from mlx_magistral.server.protocols.openai_words import invalid_body
from mlx_magistral.server.running import Run
from mlx_magistral.server.service import Service, count_tokens, read_body

# Clients hand thinking back with its signature; here it says only where it came from.
_SIGNATURE = "mlx-magistral"


class ToolChoice(fields.Body):
    """Which tool has to be called, if any."""

    place: ClassVar[str] = "tool_choice."
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class OutputConfig(fields.Body):
    """A schema for the answer, and an effort."""

    place: ClassVar[str] = "output_config."
    format: dict[str, Any] | None = None
    effort: Effort | None = None


class CountBody(fields.Body):
    """What a prompt is made of."""

    model: str
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None

    @classmethod
    def _reworded(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """With the older place of an answer's schema, and -1 for no limit."""
        renamed = dict(given)
        form = renamed.pop("output_format", None)
        if form is not None and renamed.get("output_config") is None:
            renamed["output_config"] = {"format": form}
        return {key: value for key, value in renamed.items() if (key, value) != ("top_k", -1)}

    def to_request(self) -> GenerationRequest:
        """What the backend is asked for."""
        return GenerationRequest(
            messages=to_chat(self.system, self.messages), tools=self._functions()
        )

    def _functions(self) -> list[dict[str, Any]] | None:
        chosen = self.tool_choice and self.tool_choice.name
        return to_functions(self.tools, self.note, (chosen,) if chosen else ())


class MessagesBody(CountBody):
    """The fields of a message request."""

    asks_for_a_reply: ClassVar[bool] = True
    max_tokens: fields.Count | Literal[-1]
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: fields.TopP | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31)] | None = None
    stop_sequences: Annotated[list[fields.StopText], Field(max_length=16)] | None = None
    stream: bool | None = None

    def to_request(self) -> GenerationRequest:
        """What the backend is asked for."""
        config = self.output_config or OutputConfig()
        names = ("temperature", "top_p", "top_k")
        options = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        options |= budget_options(self.thinking, config.effort)
        options |= fields.format_options(config.format, "output_config.format")
        choice = self.tool_choice or ToolChoice(type="auto")
        wanted = {"auto": "auto", "any": "required", "none": "none", "tool": choice.name or ""}
        if choice.type == "tool" and not choice.name:
            raise ApiError(400, "tool_choice has no name.", "invalid_value", "tool_choice")
        return GenerationRequest(
            model=self.model,
            messages=to_chat(self.system, self.messages),
            tools=self._functions(),
            tool_choice=wanted[choice.type],
            parallel_tool_calls=not choice.disable_parallel_tool_use,
            max_tokens=None if self.max_tokens == -1 else self.max_tokens,
            stop=fields.stops(self.stop_sequences),
            options=options,
        )


async def create_message(request: Request) -> Response:
    """Answer a conversation, streamed or whole."""
    service: Service = request.app.state.service
    body = await read_body(request, MessagesBody)
    wanted = body.to_request()
    head = {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": service.model_named(body.model),
    }

    def whole(replies: list[ReplyCollector], watch: None) -> dict[str, Any]:
        reply, finished = replies[0].reply(), replies[0].finished
        content: list[dict[str, Any]] = []
        if reply.reasoning:
            content.append(_thinking(reply.reasoning, _SIGNATURE))
        if reply.content:
            content.append({"type": "text", "text": reply.content})
        for call in reply.tool_calls:
            content.append(_tool_use(call.id, call.name, _input(call.arguments)))
        end = {**_end(finished), "usage": _usage(finished.usage), **invalid_body(finished)}
        return {**head, "content": content, **end}

    async def stream(run: Run) -> AsyncIterator[str]:
        blocks = _Blocks()
        start: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
        # What of it is cached is known once it runs, and the last event says it.
        nothing = {"input_tokens": run.progress()[0].prompt_tokens, "output_tokens": 0}
        yield sse.named({"type": "message_start", "message": {**head, **start, "usage": nothing}})
        try:
            async for item in run.events(service.keep_alive_s):
                if item is None:
                    yield sse.named({"type": "ping"})
                    continue
                for piece in blocks.feed(item[1]):
                    yield sse.named(piece)
        except ApiError as error:
            yield sse.named(error.anthropic_body())

    return await service.answer(
        request, [wanted], stream=stream if body.stream else None, whole=whole
    )


async def count_message_tokens(request: Request) -> Response:
    """How many tokens the prompt of a conversation has."""
    service: Service = request.app.state.service
    wanted = (await read_body(request, CountBody)).to_request()
    return JSONResponse({"input_tokens": await count_tokens(service, wanted)})


class _Blocks:
    """Events in, the stream's events out: one content block after the other."""

    def __init__(self) -> None:
        self._index = -1
        self._open: tuple[str, int] | None = None

    def feed(self, event: object) -> list[dict[str, Any]]:
        match event:
            case ReasoningDelta(text=text):
                delta = {"type": "thinking_delta", "thinking": text}
                return [*self._begin(("thinking", 0), _thinking("", "")), self._delta(delta)]
            case ContentDelta(text=text):
                delta = {"type": "text_delta", "text": text}
                return [
                    *self._begin(("text", 0), {"type": "text", "text": ""}),
                    self._delta(delta),
                ]
            case ToolCallDelta():
                block = _tool_use(event.id or "", event.name or "", {})
                delta = {"type": "input_json_delta", "partial_json": event.arguments}
                return [*self._begin(("tool_use", event.index), block), self._delta(delta)]
            case Finished():
                end = {"type": "message_delta", "delta": _end(event)}
                return [
                    *self._close(),
                    {**end, "usage": _usage(event.usage), **invalid_body(event)},
                    {"type": "message_stop"},
                ]
        raise AssertionError("no other event")

    def _begin(self, block: tuple[str, int], body: dict[str, Any]) -> list[dict[str, Any]]:
        if self._open == block:
            return []
        closing = self._close()
        self._open = block
        self._index += 1
        start = {"type": "content_block_start", "index": self._index, "content_block": body}
        return [*closing, start]

    def _close(self) -> list[dict[str, Any]]:
        if self._open is None:
            return []
        signed = self._open[0] == "thinking"
        self._open = None
        signature = {"type": "signature_delta", "signature": _SIGNATURE}
        stop = {"type": "content_block_stop", "index": self._index}
        return [self._delta(signature), stop] if signed else [stop]

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}


def _end(finished: Finished) -> dict[str, Any]:
    reason = "max_tokens"
    if finished.reason is FinishReason.TOOL_CALLS:
        reason = "tool_use"
    elif finished.reason is FinishReason.STOP:
        reason = "end_turn" if finished.stop is None else "stop_sequence"
    return {"stop_reason": reason, "stop_sequence": finished.stop}


def _usage(usage: Usage) -> dict[str, Any]:
    """Anthropic counts cached tokens beside the input tokens, not within them."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def _thinking(text: str, signature: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": signature}


def _tool_use(call_id: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": values}


def _input(arguments: str) -> dict[str, Any]:
    """The arguments as an object; what is none goes whole under a key that says so."""
    try:
        values = json.loads(arguments)
    except ValueError:
        return {"invalid_json": arguments}
    return values if isinstance(values, dict) else {"invalid_json": arguments}
