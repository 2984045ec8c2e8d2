"""What every protocol needs of the server: the backend, the limits, and how to answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.errors import MagistralError, UnsupportedFieldError
from mlx_magistral.server.api_errors import ApiError, from_error, from_validation
from mlx_magistral.server.backend import Backend, GenerationRequest
from mlx_magistral.server.mailbox import Mailbox
from mlx_magistral.server.metrics import Metrics
from mlx_magistral.server.protocols.response_memory import ItemMemory
from mlx_magistral.server.running import ClientGone, Run, Watch, collect
from mlx_magistral.server.sse import EventStream

Body = TypeVar("Body", bound=BaseModel)
Stream = Callable[[Run], AsyncIterator[str]]
# The whole replies, and the ``watch`` that saw their events, to the body.
Whole = Callable[[list[ReplyCollector], Any], dict[str, Any]]

# What a client that has left would have been told; nobody sees it.
_CLIENT_CLOSED = 499


@dataclass(frozen=True)
class Service:
    """One model behind HTTP."""

    backend: Backend
    metrics: Metrics
    request_timeout_s: float
    keep_alive_s: float
    # Streamed chats on their way by the id that their client knows.
    streams: dict[str, Run] = field(default_factory=dict)
    # What clients of /v1/responses may refer to by its id.
    memory: ItemMemory = field(default_factory=ItemMemory)
    _mailboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = field(
        default_factory=WeakKeyDictionary
    )

    async def answer(
        self,
        request: Request,
        wanted: Sequence[GenerationRequest],
        *,
        stream: Stream | None,
        whole: Whole,
        watch: Watch | None = None,
    ) -> Response:
        """Make the replies and send them, streamed where ``stream`` is given."""
        if len(wanted) > self.backend.places:
            raise ApiError(
                400,
                f"{len(wanted)} replies are asked for, and this server makes and queues "
                f"{self.backend.places} at most.",
                "invalid_value",
                "n",
            )
        async with contextlib.AsyncExitStack() as stack:
            run = await stack.enter_async_context(
                Run(self.backend, self.metrics, self._mailbox(), self.request_timeout_s)
            )
            await run.start(wanted, request.receive)
            if stream is not None:
                return EventStream(stream(run), stack.pop_all(), run.has_more)
            try:
                replies = await collect(run, len(wanted), self.backend.model_name, watch)
                return JSONResponse(whole(replies, watch))
            except ClientGone:
                return Response(status_code=_CLIENT_CLOSED)

    def model_named(self, name: str) -> str:
        """Which model answers a request for ``name``: one that is served, else the first.

        Raises ApiError for an adapter that is not there; any other name is taken for the model's,
        as clients have names of their own for it.
        """
        names = self.backend.model_names
        if name in names:
            return name
        if name.startswith(f"{names[0]}:"):
            raise ApiError(404, f"There is no model {name!r} here.", "model_not_found", "model")
        return names[0]

    @contextlib.contextmanager
    def known_as(self, id: str, run: Run) -> Iterator[None]:
        """The run can be found by its id meanwhile."""
        self.streams[id] = run
        try:
            yield
        finally:
            del self.streams[id]

    def _mailbox(self) -> Mailbox:
        """The running loop's; a server has one loop, tests may have several."""
        loop = asyncio.get_running_loop()
        return self._mailboxes.setdefault(loop, Mailbox(loop))


async def read_body(request: Request, kind: type[Body]) -> Body:
    """The checked body; raises ApiError for another content type or anything wrong in it."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A form or text/plain needs no preflight: a foreign page could send it.
    if content_type != "application/json":
        raise ApiError(
            415,
            f"The content type must be application/json, not {content_type or 'missing'}.",
            "unsupported_media_type",
        )
    try:
        return kind.model_validate_json(await request.body(), context=request.state.ignored)
    except ValidationError as error:
        raise from_validation(error) from error
    except UnsupportedFieldError as error:
        raise from_error(error) from error
    except RecursionError as error:
        raise ApiError(400, "The body is nested too deeply.", "invalid_body") from error


async def count_tokens(service: Service, wanted: GenerationRequest) -> int:
    """The ids of a prompt; raises ApiError."""
    try:
        return await asyncio.to_thread(service.backend.count_tokens, wanted)
    except MagistralError as error:
        raise from_error(error) from error
