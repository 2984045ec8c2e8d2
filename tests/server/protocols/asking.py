"""Requests to the application itself, without a port: what was asked, and what came back."""

import asyncio
import json
from typing import Any

import httpx
from server_fakes import FakeBackend

from mlx_magistral.server.app import make_app
from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.server.guard import Rules

USER: dict[str, Any] = {"role": "user", "content": "hi"}
# What each path needs beside what a test is about.
NEEDED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "m", "messages": [USER]},
    "/v1/completions": {"model": "m", "prompt": "hi"},
    "/v1/responses": {"model": "m", "input": "hi"},
    "/v1/messages": {"model": "m", "messages": [USER], "max_tokens": 9},
    "/v1/messages/count_tokens": {"model": "m", "messages": [USER]},
    "/tokenize": {"messages": [USER]},
}
GENERATING = [path for path in NEEDED if path.startswith("/v1") and "count" not in path]


class Asker:
    """One application before a scripted backend; it remembers what it answers, as a server does."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.backend = FakeBackend()
        self._app = make_app(self.backend, rules)

    def post(self, path: str, **fields: Any) -> httpx.Response:
        return self.send("POST", path, json={**NEEDED[path], **fields})

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                return await http.request(method, path, **options)

        return asyncio.run(run())

    def asked(self, path: str, **fields: Any) -> GenerationRequest:
        """What the backend is asked for by a request that is accepted."""
        response = self.post(path, **fields)
        assert response.status_code == 200, response.text
        return self.backend.requests[-1]

    def refused(self, path: str, **fields: Any) -> str:
        """The message of a request that is refused, with the field's name where there is one."""
        response = self.post(path, **fields)
        assert response.status_code == 400, response.text
        error = response.json()["error"]
        return f"{error.get('param')}: {error['message']}"


def stream_events(response: httpx.Response) -> list[dict[str, Any]]:
    """The objects of a stream of events."""
    lines = [line.removeprefix("data: ") for line in response.text.splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]
