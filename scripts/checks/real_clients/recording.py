"""A server before the scripted backend, and everything that clients send to it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_magistral.server.app import make_app
from mlx_magistral.server.guard import Rules
from mlx_magistral.server.uvicorn_server import DrainingServer, bind

from .scripted import ScriptedBackend


@dataclass
class Exchange:
    """A request, and its answer's status and ignored fields; ``error`` is the text of a refusal."""

    path: str
    body: Any
    status: int = 0
    ignored: str = ""
    error: str = ""


@dataclass
class Recorder:
    """ASGI middleware that keeps every POST; ``exchanges`` in the order in which they came."""

    app: ASGIApp
    exchanges: list[Exchange] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(f"{scope['method']} {scope['path']}", None)
        self.exchanges.append(exchange)
        body = bytearray()
        refusal = bytearray()

        async def heard() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            if message["type"] == "http.request" and not message.get("more_body"):
                exchange.body = _parsed(bytes(body))
            return message

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = dict(message.get("headers", []))
                exchange.ignored = headers.get(b"x-ignored-fields", b"").decode()
            elif exchange.status >= 400:
                refusal.extend(message.get("body", b""))
                exchange.error = refusal.decode("utf-8", "replace")
            await send(message)

        await self.app(scope, heard, told)


@contextmanager
def recording_server(backend: ScriptedBackend, key: str) -> Iterator[tuple[str, Recorder]]:
    """The root URL of a server on loopback, and what it hears."""
    recorder = Recorder(make_app(backend, Rules(api_key=key)))
    listener = bind("127.0.0.1", 0)
    server = DrainingServer(recorder, backend, drain_s=1)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", recorder
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
