"""``/v1/completions``: text or ids to go on from, with no chat around them."""

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import ContentDelta, Finished, ReasoningDelta, Usage
from mlx_magistral.server import sse
from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.backend import copies
from mlx_magistral.server.protocols.completions_in import CompletionBody
from mlx_magistral.server.protocols.completions_out import text_body, text_choice
from mlx_magistral.server.protocols.openai_words import usage_body
from mlx_magistral.server.running import Run
from mlx_magistral.server.service import Service, read_body


async def completions(request: Request) -> Response:
    """Go on from a prompt, streamed or whole."""
    service: Service = request.app.state.service
    body = await read_body(request, CompletionBody)
    wanted = copies(body.to_request(), body.n or 1)
    head = {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": service.model_named(body.model),
    }

    def whole(replies: list[ReplyCollector], watch: None) -> dict[str, Any]:
        return text_body(head, replies)

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
                        made = text_choice(index, text, None, None)
                    case ReasoningDelta(text=text):
                        made = text_choice(index, "", text, None)
                    case Finished():
                        usages.append(event.usage)
                        made = text_choice(index, "", None, event)
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
