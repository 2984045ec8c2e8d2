"""``/v1/chat/completions``: OpenAI's chat protocol, with vLLM's names for the thinking."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlx_magistral.events import (
    ContentDelta,
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from mlx_magistral.reply import ReplyCollector
from mlx_magistral.server import fields, sse
from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.server.running import Run, copies
from mlx_magistral.server.service import Service, read_body


class ChatBody(fields.OpenAIBody):
    """The fields of a chat request; the last ones are accepted and change nothing."""

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    stop: fields.Stop | None = None
    n: fields.Replies | None = None
    max_tokens: fields.Count | None = None
    max_completion_tokens: fields.Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stream_options: fields.StreamOptions | None = None
    thinking_token_budget: fields.Budget | None = None
    reasoning_effort: fields.Effort | None = None
    frequency_penalty: fields.Neutral | None = None
    presence_penalty: fields.Neutral | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    modalities: list[Literal["text"]] | None = None
    verbosity: Any = None

    def to_request(self) -> GenerationRequest:
        """What the backend is asked for."""
        options = self.sampling()
        options |= fields.budget_options(self.thinking_token_budget, self.reasoning_effort)
        options |= fields.format_options(self.response_format, "response_format")
        logprobs = None
        if self.logprobs:
            logprobs = self.top_logprobs or 0
        elif self.top_logprobs:
            raise ApiError(
                400, "Field 'top_logprobs' needs logprobs: true.", "invalid_value", "top_logprobs"
            )
        return GenerationRequest(
            messages=[_with_mistral_ids(message) for message in self.messages],
            tools=self.tools or None,
            tool_choice=chosen_tool(self.tool_choice),
            parallel_tool_calls=self.parallel_tool_calls is not False,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=fields.stops(self.stop),
            logprobs=logprobs,
            options=options,
        )


async def chat_completions(request: Request) -> Response:
    """Answer a chat, streamed or whole."""
    service: Service = request.app.state.service
    body = await read_body(request, ChatBody)
    wanted = copies(body.to_request(), body.n or 1)
    reply = _ChatReply(service.backend.model_name, body)
    stream = reply.stream if body.stream else None
    logprobs = _LogprobKeeper(len(wanted)) if body.logprobs else None

    async def pieces(run: Run) -> AsyncIterator[str]:
        assert stream is not None
        with service.known_as(reply.id, run):
            async for piece in stream(run, len(wanted), service.keep_alive_s):
                yield piece

    return await service.answer(
        request, wanted, stream=pieces if stream else None, whole=reply.whole, watch=logprobs
    )


async def answer_now(request: Request) -> Response:
    """End the thinking of a streamed chat; its answer follows on the stream."""
    service: Service = request.app.state.service
    id = request.path_params["id"]
    if id not in service.streams:
        raise ApiError(404, f"No streamed chat {id!r} is on its way.", "not_found", "id")
    service.streams[id].answer_now()
    return JSONResponse({"id": id})


def finish_reason(event: Finished) -> str:
    """In OpenAI's words: what was cut short, by whatever, ended by length."""
    if event.reason in (FinishReason.STOP, FinishReason.TOOL_CALLS):
        return event.reason.value
    return "length"


def usage_body(usages: Sequence[Usage]) -> dict[str, Any]:
    """Token counts of the replies to one prompt."""
    prompt = usages[0].prompt_tokens if usages else 0
    completion = sum(usage.completion_tokens for usage in usages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usages[0].cached_tokens if usages else 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(usage.reasoning_tokens for usage in usages)
        },
    }


def logprob_body(found: TokenLogprob) -> dict[str, Any]:
    """One id as OpenAI writes it, its likeliest rivals included."""
    return {**_one(found), "top_logprobs": [_one(rival) for rival in found.top]}


class _LogprobKeeper:
    """The logprobs of whole replies, which a ReplyCollector does not keep."""

    def __init__(self, count: int) -> None:
        self.content: list[list[dict[str, Any]]] = [[] for _ in range(count)]

    def feed(self, index: int, event: Event) -> None:
        if isinstance(event, ReasoningDelta | ContentDelta):
            self.content[index] += [logprob_body(each) for each in event.logprobs]


class _ChatReply:
    def __init__(self, model: str, body: ChatBody) -> None:
        self._body = body
        self.id = f"chatcmpl-{secrets.token_hex(12)}"
        self._head = {
            "id": self.id,
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": None,
        }

    def whole(self, replies: list[ReplyCollector], watch: _LogprobKeeper | None) -> dict[str, Any]:
        choices = []
        for index, collector in enumerate(replies):
            reply, finished = collector.reply(), collector.finished
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
            choices.append(
                {
                    "index": index,
                    "message": message,
                    "logprobs": watch and {"content": watch.content[index], "refusal": None},
                    "finish_reason": finish_reason(finished),
                    "stop_reason": finished.stop,
                }
            )
        usage = usage_body([collector.finished.usage for collector in replies])
        return {**self._head, "object": "chat.completion", "choices": choices, "usage": usage}

    async def stream(self, run: Run, count: int, keep_alive_s: float) -> AsyncIterator[str]:
        for index in range(count):
            yield self._chunk(index, {"role": "assistant", "content": ""})
        usages: list[Usage] = []
        try:
            async for item in run.events(keep_alive_s):
                if item is None:
                    yield sse.KEEP_ALIVE
                    continue
                index, event = item
                if isinstance(event, Finished):
                    usages.append(event.usage)
                    yield self._chunk(index, {}, finish=event)
                else:
                    yield self._chunk(index, _delta(event), event=event)
        except ApiError as error:
            yield sse.data(error.openai_body())
            return
        if self._body.stream_options and self._body.stream_options.include_usage:
            chunk = {**self._head, "object": "chat.completion.chunk", "choices": []}
            yield sse.data({**chunk, "usage": usage_body(usages)})
        yield sse.DONE

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        *,
        event: Event | None = None,
        finish: Finished | None = None,
    ) -> str:
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": None}
        choice["finish_reason"] = None if finish is None else finish_reason(finish)
        if finish is not None:
            choice["stop_reason"] = finish.stop
        if self._body.logprobs and isinstance(event, ReasoningDelta | ContentDelta):
            content = [logprob_body(each) for each in event.logprobs]
            choice["logprobs"] = {"content": content, "refusal": None}
        return sse.data({**self._head, "object": "chat.completion.chunk", "choices": [choice]})


def _delta(event: Event) -> dict[str, Any]:
    match event:
        case ReasoningDelta(text=text):
            return {"reasoning": text, "reasoning_content": text}
        case ContentDelta(text=text):
            return {"content": text}
        case ToolCallDelta():
            function: dict[str, Any] = {"arguments": event.arguments}
            call: dict[str, Any] = {"index": event.index, "function": function}
            if event.id is not None:
                call |= {"id": event.id, "type": "function"}
                function["name"] = event.name
            return {"tool_calls": [call]}
    raise AssertionError("Finished has no delta")


def _one(found: TokenLogprob) -> dict[str, Any]:
    return {
        "token": found.bytes.decode("utf-8", "replace"),
        "logprob": max(found.logprob, -9999.0),
        "bytes": list(found.bytes),
    }


def chosen_tool(choice: str | dict[str, Any] | None) -> str:
    """``auto``, ``none``, ``required`` or a tool's name."""
    if choice is None:
        return "auto"
    if isinstance(choice, str):
        if choice in ("auto", "none", "required"):
            return choice
    else:
        function = choice.get("function", choice)
        name = function.get("name") if isinstance(function, dict) else None
        if choice.get("type") == "function" and isinstance(name, str) and name:
            return name
    raise ApiError(
        400,
        "Field 'tool_choice' must be auto, none, required or a function by name.",
        "invalid_value",
        "tool_choice",
    )


def _with_mistral_ids(message: dict[str, Any]) -> dict[str, Any]:
    """The message with ids the tokenizer takes, and without what says nothing to the model."""
    changed = {key: value for key, value in message.items() if key != "annotations"}
    if "tool_call_id" in changed:
        changed["tool_call_id"] = fields.mistral_id(changed["tool_call_id"])
    calls = changed.get("tool_calls")
    if isinstance(calls, list):
        changed["tool_calls"] = [
            {**call, "id": fields.mistral_id(call.get("id"))} if isinstance(call, dict) else call
            for call in calls
        ]
    return changed
