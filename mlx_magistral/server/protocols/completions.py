"""``/v1/completions``: text or ids to go on from, with no chat around them."""

import secrets
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import ContentDelta, Finished, ReasoningDelta, Usage
from mlx_magistral.server import sse
from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.server.protocols import fields
from mlx_magistral.server.protocols.openai_words import finish_reason, usage_body
from mlx_magistral.server.running import Run, copies
from mlx_magistral.server.service import Service, read_body

Ids = Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(min_length=1)]


class CompletionBody(fields.Sampled):
    """The fields of a text completion; the last ones are accepted and change nothing."""

    prompt: Annotated[str, Field(min_length=1)] | Ids
    stop: fields.Stop | None = None
    n: fields.Replies | None = None
    max_tokens: fields.Count | None = None
    stream_options: fields.StreamOptions | None = None
    thinking_token_budget: fields.Budget | None = None
    echo: Literal[False] | None = None
    frequency_penalty: fields.Neutral | None = None
    presence_penalty: fields.Neutral | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    user: Any = None

    def to_request(self) -> GenerationRequest:
        """What the backend is asked for; OpenAI's default of 16 tokens is kept."""
        options = self.sampling() | fields.budget_options(self.thinking_token_budget, None)
        return GenerationRequest(
            prompt=self.prompt,
            max_tokens=self.max_tokens or 16,
            stop=fields.stops(self.stop),
            options=options,
        )


async def completions(request: Request) -> Response:
    """Go on from a prompt, streamed or whole."""
    service: Service = request.app.state.service
    body = await read_body(request, CompletionBody)
    wanted = copies(body.to_request(), body.n or 1)
    head = {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": service.backend.model_name,
    }

    def choice(index: int, text: str, reasoning: str | None, end: Finished | None) -> Any:
        return {
            "index": index,
            "text": text,
            "reasoning": reasoning,
            "logprobs": None,
            "finish_reason": None if end is None else finish_reason(end),
        }

    def whole(replies: list[ReplyCollector], watch: None) -> dict[str, Any]:
        choices = []
        for index, collector in enumerate(replies):
            reply = collector.reply()
            choices.append(choice(index, reply.content or "", reply.reasoning, collector.finished))
        usage = usage_body([collector.finished.usage for collector in replies])
        return {**head, "choices": choices, "usage": usage}

    async def stream(run: Run) -> AsyncIterator[str]:
        usages: list[Usage] = []
        try:
            async for item in run.events(service.keep_alive_s):
                if item is None:
                    yield sse.KEEP_ALIVE
                    continue
                index, event = item
                match event:
                    case ContentDelta(text=text):
                        made = choice(index, text, None, None)
                    case ReasoningDelta(text=text):
                        made = choice(index, "", text, None)
                    case Finished():
                        usages.append(event.usage)
                        made = choice(index, "", None, event)
                    case _:
                        continue
                yield sse.data({**head, "choices": [made]})
        except ApiError as error:
            yield sse.data(error.openai_body())
            return
        if body.stream_options and body.stream_options.include_usage:
            yield sse.data({**head, "choices": [], "usage": usage_body(usages)})
        yield sse.DONE

    return await service.answer(
        request, wanted, stream=stream if body.stream else None, whole=whole, watch=None
    )
