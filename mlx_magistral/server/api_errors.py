"""Errors as the two APIs write them: a status, a type, a code, and which field was wrong."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mlx_magistral.errors import (
    ClusterError,
    ContextLengthError,
    MagistralError,
    MissingExtraError,
    OverloadedError,
    PromptError,
    QueueFullError,
    UnsupportedFieldError,
    UsageError,
)

if TYPE_CHECKING:
    from starlette.responses import JSONResponse

# HTTP status -> OpenAI's error type, Anthropic's error type.
_TYPES = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("invalid_request_error", "authentication_error"),
    403: ("permission_error", "permission_error"),
    404: ("invalid_request_error", "not_found_error"),
    405: ("invalid_request_error", "invalid_request_error"),
    408: ("timeout_error", "timeout_error"),
    413: ("invalid_request_error", "request_too_large"),
    415: ("invalid_request_error", "invalid_request_error"),
    429: ("rate_limit_error", "rate_limit_error"),
    500: ("server_error", "api_error"),
    501: ("server_error", "api_error"),
    503: ("server_error", "overloaded_error"),
    504: ("server_error", "timeout_error"),
}
TOO_LONG = "context_length_exceeded"
# How pydantic names the kinds that a field may be of, where there are several.
_KIND = re.compile(r"(?:constrained-)?(?:str|int|float|bool)|(?:list|dict)\[.*\]")
_PLACE = re.compile(r"(messages|tools)\[\d+\]")
INTERNAL = "The server failed at this request. Its log says where."


@dataclass(eq=False)
class ApiError(Exception):
    """A refusal: HTTP status, one sentence for a person, and OpenAI's ``code`` and ``param``."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    retry_after_s: int | None = None

    def openai_body(self) -> dict[str, Any]:
        kind = _TYPES[self.status][0]
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    def anthropic_body(self) -> dict[str, Any]:
        text = self.message
        if self.code == TOO_LONG:
            # Anthropic's words for it: Claude Code shortens the conversation where it reads them.
            text = f"prompt is too long: {text}"
        error = {"type": _TYPES[self.status][1], "message": text}
        return {"type": "error", "error": error, "request_id": None}


def is_anthropic(path: str) -> bool:
    """Whether a path speaks Anthropic's protocol."""
    return path.startswith("/v1/messages")


def error_response(
    error: ApiError, path: str, headers: dict[str, str] | None = None
) -> "JSONResponse":
    """The error in the shape of the API that ``path`` belongs to."""
    from starlette.responses import JSONResponse

    body = error.anthropic_body() if is_anthropic(path) else error.openai_body()
    headers = dict(headers or {})
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body, error.status, headers)


def from_error(error: MagistralError) -> ApiError:
    """What the engine or a backend raised, as a caller should see it."""
    text = str(error)
    place = _PLACE.match(text)
    match error:
        case ContextLengthError():
            return ApiError(400, text, TOO_LONG, "messages")
        case UnsupportedFieldError():
            param = error.field if place is None else f"{place.group()}.{error.field}"
            return ApiError(400, text, "unsupported_parameter", param)
        case PromptError():
            return ApiError(400, text, "invalid_value", place.group() if place else "messages")
        case UsageError():
            return ApiError(400, text, "invalid_value", place.group() if place else None)
        case OverloadedError():
            # Too much is asked for: 429. No fault of those who ask, or no memory just now: 503.
            is_queue = isinstance(error, QueueFullError)
            status, code = (429, "rate_limit_exceeded") if is_queue else (503, "overloaded")
            return ApiError(status, text, code, retry_after_s=max(1, round(error.retry_after_s)))
        case ClusterError():
            return ApiError(503, text, "machine_lost", retry_after_s=10)
        case MissingExtraError():
            return ApiError(501, text, "missing_extra")
    return ApiError(500, INTERNAL, "internal_error")


def from_validation(error: ValidationError) -> ApiError:
    """The first thing that pydantic found wrong with a body, by the name of its field."""
    errors = error.errors(include_url=False, include_input=False)
    # Of a field that may be several things, what comes furthest is what was meant.
    same = [each for each in errors if each["loc"][:1] == errors[0]["loc"][:1]]
    first = max(same, key=lambda each: len(each["loc"]))
    places = [str(part) for part in first["loc"] if not _KIND.fullmatch(str(part))]
    param = ".".join(places) or None
    if first["type"] == "missing":
        return ApiError(400, f"Field {param!r} is missing.", "missing_required_parameter", param)
    what = first["msg"].removeprefix("Value error, ").rstrip(".")
    if param is None:
        return ApiError(400, f"The body is not a valid request: {what}.", "invalid_body")
    return ApiError(400, f"Field {param!r}: {what}.", "invalid_value", param)
