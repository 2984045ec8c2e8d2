"""The ASGI application: routes, errors in the API's shape, the guard around it."""

import logging
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_magistral.server import plain
from mlx_magistral.server.api_errors import INTERNAL, ApiError, error_response
from mlx_magistral.server.backend import Backend
from mlx_magistral.server.guard import Guard, Rules
from mlx_magistral.server.metrics import Metrics
from mlx_magistral.server.openapi import openapi_document
from mlx_magistral.server.page_files import page_routes
from mlx_magistral.server.protocols import chat, completions, messages, responses
from mlx_magistral.server.service import Service
from mlx_magistral.server.tools import tool_routes

log = logging.getLogger("mlx_magistral.server")

# Tells which fields of a request changed nothing; longer lists are cut.
_IGNORED = b"x-ignored-fields"
_LISTED_BYTES = 1000


def make_app(
    backend: Backend,
    rules: Rules | None = None,
    *,
    request_timeout_s: float = 3600.0,
    keep_alive_s: float = 10.0,
    tools: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """Everything behind the port; ``tools`` are the routes of tools.py, for the page."""
    document = openapi_document()

    async def openapi(request: Request) -> Response:
        return JSONResponse(document)

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat.chat_completions, methods=["POST"]),
            Route("/v1/chat/completions/{id}/answer_now", chat.answer_now, methods=["POST"]),
            Route("/v1/completions", completions.completions, methods=["POST"]),
            Route("/v1/responses", responses.create_response, methods=["POST"]),
            Route("/v1/messages", messages.create_message, methods=["POST"]),
            Route("/v1/messages/count_tokens", messages.count_message_tokens, methods=["POST"]),
            Route("/v1/models", plain.models),
            Route("/v1/models/{name:path}", plain.model),
            Route("/tokenize", plain.tokenize, methods=["POST"]),
            Route("/health", plain.health),
            Route("/metrics", plain.metrics),
            Route("/openapi.json", openapi),
            *(tools or tool_routes((), lambda schema: 0)),
            *page_routes(),
        ],
        exception_handlers={
            ApiError: _on_api_error,
            HTTPException: _on_http_error,
            ClientDisconnect: _on_disconnect,
            Exception: _on_failure,
        },
    )
    metrics = Metrics(backend)
    app.state.service = Service(backend, metrics, request_timeout_s, keep_alive_s)
    return Guard(_Outermost(app, metrics), rules or Rules())


class _Outermost:
    """Counts requests, and answers in the API's shape what nothing inside has caught."""

    def __init__(self, app: Starlette, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = {getattr(route, "path", "") for route in app.routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0
        # Fields of the body that change nothing here, in the order in which they were met.
        ignored: list[str] = []
        scope.setdefault("state", {})["ignored"] = ignored

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if ignored:
                    message["headers"] = [*message["headers"], (_IGNORED, _listed(ignored))]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if scope["type"] == "http":
                path = scope["path"] if scope["path"] in self._paths else "other"
                self._metrics.requests.labels(path, str(status)).inc()
                log.info("%s %s %s", scope["method"], path, status)


def _listed(names: list[str]) -> bytes:
    text = ", ".join(dict.fromkeys(names)).encode("unicode_escape")
    log.debug("fields that change nothing here: %s", text.decode())
    return text[:_LISTED_BYTES]


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error, request.url.path)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    texts = {404: _no_such_path(request.url.path), 405: "This path takes another method."}
    found = ApiError(error.status_code, texts.get(error.status_code, error.detail), "not_found")
    if error.status_code == 405:
        found.code = "method_not_allowed"
    headers: dict[str, Any] = dict(error.headers or {})
    return error_response(found, request.url.path, headers)


def _no_such_path(path: str) -> str:
    """Base URLs are off by /v1 in either direction more often than a path is unknown."""
    shown = path.encode("unicode_escape").decode()[:200]
    if path.startswith("/v1/v1/"):
        return f"There is no path {shown} here: the client's base URL has /v1 once too often."
    if path.startswith("/v1/"):
        return f"There is no path {shown} here. /openapi.json lists those there are."
    return (
        f"There is no path {shown} here: the API is under /v1. OpenAI clients take a base URL that "
        "ends in /v1, Anthropic's take one without it."
    )


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


async def _on_failure(request: Request, error: Exception) -> Response:
    """What nobody foresaw; starlette raises it again afterwards, for the log."""
    return error_response(ApiError(500, INTERNAL, "internal_error"), request.url.path)
