"""The small routes: models, health, metrics, tokenize, the OpenAPI document."""

import time
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.server.protocols import fields
from mlx_magistral.server.service import Service, count_tokens, read_body
from mlx_magistral.version import __version__

_STARTED = int(time.time())


class TokenizeBody(fields.Body):
    """A text, or messages as a chat would send them."""

    model: str | None = None
    prompt: Annotated[str, Field(min_length=1)] | None = None
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    tools: list[dict[str, Any]] | None = None


async def models(request: Request) -> Response:
    """The model, and with each adapter."""
    service: Service = request.app.state.service
    data = [_model(service, name) for name in service.backend.model_names]
    return JSONResponse({"object": "list", "data": data})


async def model(request: Request) -> Response:
    """The model by its name."""
    service: Service = request.app.state.service
    name = request.path_params["name"]
    if name not in service.backend.model_names:
        raise ApiError(404, f"There is no model {name!r} here.", "model_not_found", "model")
    return JSONResponse(_model(service, name))


async def health(request: Request) -> Response:
    """Whether it serves, and how busy it is."""
    service: Service = request.app.state.service
    now = service.backend.stats()
    return JSONResponse(
        {
            "status": "ok",
            "version": __version__,
            "model": service.backend.model_name,
            "running": now.running,
            "queued": now.queued,
        }
    )


async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    service: Service = request.app.state.service
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


async def tokenize(request: Request) -> Response:
    """How many tokens a text or a conversation has."""
    service: Service = request.app.state.service
    body = await read_body(request, TokenizeBody)
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "Give either prompt or messages.", "invalid_value", "prompt")
    wanted = GenerationRequest(prompt=body.prompt, messages=body.messages, tools=body.tools)
    count = await count_tokens(service, wanted)
    return JSONResponse({"count": count, "max_model_len": service.backend.context_tokens})


def _model(service: Service, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": _STARTED,
        "owned_by": "mlx-magistral",
        "max_model_len": service.backend.context_tokens,
        "meta": dict(service.backend.facts),
    }
