"""Who may talk to the server: Host, Origin, API key, and how much may be sent.

A web page of another origin must not reach a server on loopback, neither directly nor by DNS
rebinding: a Host must be a name that a stranger's page cannot have (hosts.py), an Origin this
server's own or one that was allowed. Who has the right key may come by any name: a page that
rebinds a name of its own does not have it.
"""

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_magistral.server.api_errors import ApiError, error_response
from mlx_magistral.server.hosts import HostRule, host_name

# The page has no secrets, and health is for whoever watches the process.
_OPEN_PATHS = ("/health", "/")
_OPEN_FOLDER = "/page/"
_ANY_ORIGIN = "*"
# What a preflight is answered that names no headers.
_CORS_HEADERS = "authorization, content-type, x-api-key, anthropic-version, anthropic-beta"
_EXPOSED_HEADERS = "retry-after, x-ignored-fields"
_PREFLIGHT_S = "600"


@dataclass(frozen=True)
class Rules:
    """What the guard lets through."""

    api_key: str | None = None
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    max_body_bytes: int = 16 * 2**20
    read_timeout_s: float = 30.0


class Guard:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules
        self._hosts = HostRule(rules.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        cors: dict[str, str] = {}
        try:
            self._check_host(headers)
            cors = self._check_origin(scope, headers)
            if scope["method"] == "OPTIONS" and cors:
                await Response(status_code=204, headers=cors)(scope, receive, send)
                return
            self._check_key(scope["path"], headers)
            self._check_length(headers)
        except ApiError as error:
            await error_response(error, scope["path"], cors)(scope, receive, send)
            return

        async def send_with_cors(message: Message) -> None:
            if message["type"] == "http.response.start" and cors:
                message["headers"] = [
                    *message["headers"],
                    *((key.encode(), value.encode()) for key, value in cors.items()),
                ]
            await send(message)

        await self._app(scope, self._limited(receive), send_with_cors)

    def _check_host(self, headers: Headers) -> None:
        host = host_name(headers.get("host", ""))
        if not self._hosts.allows(host) and not self._has_key(headers):
            raise ApiError(
                403,
                f"The Host header names {host or 'no host'!r}, which is no name of this machine. "
                "Connect by 127.0.0.1, start the server with --allow-host, or send the API key.",
                "host_not_allowed",
            )

    def _check_origin(self, scope: Scope, headers: Headers) -> dict[str, str]:
        """CORS headers of an allowed origin, nothing for no origin; raises for a foreign one."""
        origin = headers.get("origin")
        if origin is None:
            is_foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
            is_visit = headers.get("sec-fetch-mode") == "navigate" and scope["method"] == "GET"
            if is_foreign and not is_visit:
                raise _foreign()
            return {}
        if origin == f"{scope['scheme']}://{headers.get('host')}":
            return {}
        if not {origin, _ANY_ORIGIN} & {*self._rules.allowed_origins}:
            raise _foreign()
        return _cors(origin, headers)

    def _check_key(self, path: str, headers: Headers) -> None:
        is_open = path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER)
        if self._rules.api_key is not None and not is_open and not self._has_key(headers):
            raise ApiError(401, "The API key is missing or wrong.", "invalid_api_key")

    def _has_key(self, headers: Headers) -> bool:
        """Whether there is a key and the request has it."""
        key = self._rules.api_key
        if key is None:
            return False
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return hmac.compare_digest(given.encode(), key.encode())

    def _check_length(self, headers: Mapping[str, str]) -> None:
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._rules.max_body_bytes:
            raise self._too_large()

    def _limited(self, receive: Receive) -> Receive:
        """Count the body while it comes, and do not wait for ever for the rest of it."""
        seen = 0
        is_whole = False

        async def limited() -> Message:
            nonlocal seen, is_whole
            if is_whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._rules.read_timeout_s)
            except TimeoutError as error:
                raise ApiError(408, "The body came too slowly.", "timeout") from error
            seen += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if seen > self._rules.max_body_bytes:
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> ApiError:
        limit = self._rules.max_body_bytes
        return ApiError(413, f"The body is larger than {limit:,} bytes.", "request_too_large")


def _foreign() -> ApiError:
    return ApiError(
        403,
        "A page of another origin may not use this server. Allow it with --allow-origin.",
        "origin_not_allowed",
    )


def _cors(origin: str, headers: Headers) -> dict[str, str]:
    """What a browser wants to read; the headers that a preflight asks for are allowed."""
    cors = {
        "access-control-allow-origin": origin,
        "access-control-allow-headers": headers.get(
            "access-control-request-headers", _CORS_HEADERS
        ),
        "access-control-allow-methods": "GET, POST",
        "access-control-expose-headers": _EXPOSED_HEADERS,
        "access-control-max-age": _PREFLIGHT_S,
        "vary": "origin, access-control-request-headers",
    }
    if headers.get("access-control-request-private-network") == "true":
        cors["access-control-allow-private-network"] = "true"
    return cors
