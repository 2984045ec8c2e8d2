"""``/v1/chat/completions``: OpenAI's chat protocol, with vLLM's names for the thinking."""

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import (
    ContentDelta,
    Event,
    Finished,
    Progress,
    ReasoningDelta,
    ToolCallDelta,
    Usage,
)
from mlx_magistral.server import sse
from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.backend import copies
from mlx_magistral.server.protocols.chat_in import ChatBody
from mlx_magistral.server.protocols.chat_out import LogprobKeeper, completion_body
from mlx_magistral.server.protocols.llama_words import prompt_progress_body, timings_body
from mlx_magistral.server.protocols.openai_words import (
    finish_reason,
    invalid_body,
    logprob_body,
    usage_body,
)
from mlx_magistral.server.running import Run
from mlx_magistral.server.service import Service, read_body

# A person watches a prompt being read.
_PROGRESS_EVERY_S = 0.5


async def chat_completions(request: Request) -> Response:
    """Answer a chat, streamed or whole."""
    service: Service = request.app.state.service
    body = await read_body(request, ChatBody)
    wanted = copies(body.to_request(), body.n or 1)
    reply = _ChatReply(service.model_named(body.model), body)
    stream = reply.stream if body.stream else None
    logprobs = LogprobKeeper(len(wanted)) if body.logprobs else None

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

    def whole(self, replies: list[ReplyCollector], watch: LogprobKeeper | None) -> dict[str, Any]:
        return completion_body(self._head, replies, watch)

    async def stream(self, run: Run, count: int, keep_alive_s: float) -> AsyncIterator[str]:
        for index in range(count):
            yield self._chunk(index, {"role": "assistant", "content": ""}, run)
        usages: list[Usage] = []
        if self._body.return_progress:
            keep_alive_s = min(keep_alive_s, _PROGRESS_EVERY_S)
        try:
            async for item in run.events(keep_alive_s):
                if item is None:
                    for piece in self._while_waiting(run):
                        yield piece
                    continue
                index, event = item
                if isinstance(event, Finished):
                    usages.append(event.usage)
                    yield self._chunk(index, {}, run, finish=event)
                else:
                    yield self._chunk(index, _delta(event), run, event=event)
        except ApiError as error:
            yield sse.data(error.openai_body())
            return
        if self._body.stream_options and self._body.stream_options.include_usage:
            chunk = {**self._head, "object": "chat.completion.chunk", "choices": []}
            yield sse.data({**chunk, "usage": usage_body(usages)})
        yield sse.DONE

    def _while_waiting(self, run: Run) -> list[str]:
        """A sign of life: how much of each prompt is read, where that was asked for."""
        if not self._body.return_progress:
            return [sse.KEEP_ALIVE]
        waiting = [
            self._chunk(index, {}, run, reads=progress)
            for index, progress in run.progress().items()
            if not progress.completion_tokens
        ]
        return waiting or [sse.KEEP_ALIVE]

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        run: Run,
        *,
        event: Event | None = None,
        finish: Finished | None = None,
        reads: Progress | None = None,
    ) -> str:
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": None}
        choice["finish_reason"] = None if finish is None else finish_reason(finish)
        if finish is not None:
            choice |= {"stop_reason": finish.stop, **invalid_body(finish)}
        if self._body.logprobs and isinstance(event, ReasoningDelta | ContentDelta):
            content = [logprob_body(each) for each in event.logprobs]
            choice["logprobs"] = {"content": content, "refusal": None}
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
        if reads is not None:
            chunk["prompt_progress"] = prompt_progress_body(reads)
        if self._body.timings_per_token:
            chunk["timings"] = timings_body(run.progress()[index])
        return sse.data(chunk)


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
