"""The project's own OpenAPI document, its schemas taken from the request bodies themselves."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mlx_magistral.server.api_errors import is_anthropic
from mlx_magistral.server.plain import TokenizeBody
from mlx_magistral.server.protocols.chat_in import ChatBody
from mlx_magistral.server.protocols.completions_in import CompletionBody
from mlx_magistral.server.protocols.messages import CountBody, MessagesBody
from mlx_magistral.server.protocols.responses import ResponsesBody
from mlx_magistral.version import __version__


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object with exactly these."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


_BODIES: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatBody,
    "/v1/completions": CompletionBody,
    "/v1/responses": ResponsesBody,
    "/v1/messages": MessagesBody,
    "/v1/messages/count_tokens": CountBody,
    "/tokenize": TokenizeBody,
}
_STREAMS = {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"}
_GETS = {
    "/v1/models": ("The one model there is.", "application/json"),
    "/health": ("Whether it serves.", "application/json"),
    "/metrics": ("Prometheus' text format.", "text/plain"),
    "/openapi.json": ("This document.", "application/json"),
}
_TEXT = {"type": "string", "minLength": 1}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_ERROR_SHAPES = {
    "Error": _object(
        error=_object(message=_TEXT, type=_TEXT, param=_TEXT_OR_NULL, code=_TEXT_OR_NULL)
    ),
    "AnthropicError": _object(
        type={"const": "error"}, error=_object(type=_TEXT, message=_TEXT), request_id=_TEXT_OR_NULL
    ),
}
_ERRORS = ("400", "401", "403", "408", "413", "415", "429", "500", "501", "503", "504")


def openapi_document() -> dict[str, Any]:
    """The document, version 3.1."""
    kinds = list(_BODIES.values())
    _, schemas = models_json_schema(
        [(kind, "validation") for kind in kinds], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Any] = {path: {"post": _post(path)} for path in _BODIES}
    for path, (summary, media) in _GETS.items():
        responses = {"200": _response("Done.", media), **_errors(path, "401", "403")}
        paths[path] = {"get": {"summary": summary, "responses": responses}}
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    responses = {"200": _response("Done."), **_errors("", "401", "403", "404")}
    get = {"summary": "A model by name.", "parameters": [name], "responses": responses}
    paths["/v1/models/{name}"] = {"get": get}
    of_chat = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    post = {
        "summary": "End the thinking of a streamed chat, so that its answer begins.",
        "parameters": [of_chat],
        "responses": responses,
    }
    paths["/v1/chat/completions/{id}/answer_now"] = {"post": post}
    return {
        "openapi": "3.1.0",
        "info": {"title": "mlx-magistral", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {**schemas["$defs"], **_ERROR_SHAPES},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _post(path: str) -> dict[str, Any]:
    ok = _response("Done.")
    if path in _STREAMS:
        ok["content"]["text/event-stream"] = {}
    schema = {"$ref": f"#/components/schemas/{_BODIES[path].__name__}"}
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    summary = (_BODIES[path].__doc__ or "").partition(";")[0]
    return {
        "summary": summary,
        "requestBody": body,
        "responses": {"200": ok, **_errors(path, *_ERRORS)},
    }


def _response(text: str, media: str = "application/json") -> dict[str, Any]:
    schema = {"type": "object"} if media == "application/json" else {"type": "string"}
    return {"description": text, "content": {media: {"schema": schema}}}


def _errors(path: str, *statuses: str) -> dict[str, Any]:
    shape = "AnthropicError" if is_anthropic(path) else "Error"
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape}"}}}
    return {each: {"description": "Refused.", "content": content} for each in statuses}
