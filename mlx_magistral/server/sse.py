"""Server-sent events: how a stream is framed, and a response that sends one."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from mlx_magistral.server.running import ClientGone

# A comment: clients skip it, and proxies and sockets see that somebody is there.
KEEP_ALIVE = ": keep-alive\n\n"
DONE = "data: [DONE]\n\n"


def data(body: dict[str, Any]) -> str:
    """One nameless event, as OpenAI's chat streams have them."""
    return f"data: {_json(body)}\n\n"


def named(body: dict[str, Any]) -> str:
    """One event under the name of its type, as Anthropic and OpenAI's responses have them."""
    return f"event: {body['type']}\ndata: {_json(body)}\n\n"


class EventStream(Response):
    """Sends pieces as they come; ``stack`` is left (and with it the run) when the stream ends.

    Where ``has_more`` says that the next piece is there already, both go in one write.
    """

    media_type = "text/event-stream"

    def __init__(
        self, pieces: AsyncIterator[str], stack: AsyncExitStack, has_more: Callable[[], bool]
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._pieces = pieces
        self._stack = stack
        self._has_more = has_more

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                unsent = ""
                async for piece in self._pieces:
                    unsent += piece
                    if not self._has_more():
                        await send(_body(unsent, more_body=True))
                        unsent = ""
            except (ClientGone, OSError):
                return
            await send(_body(unsent, more_body=False))


def _body(text: str, *, more_body: bool) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more_body}


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
