"""A real uvicorn on loopback in a thread, before nano or before a scripted backend."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from server_fakes import FakeBackend

from mlx_magistral import Magistral
from mlx_magistral.server.app import make_app
from mlx_magistral.server.backend import Backend
from mlx_magistral.server.batching import make_backend
from mlx_magistral.server.guard import Rules
from mlx_magistral.server.uvicorn_server import DrainingServer, bind


@contextmanager
def serving(backend: Backend, rules: Rules | None = None, **options: Any) -> Iterator[str]:
    """The root URL of a server for the backend."""
    listener = bind("127.0.0.1", 0)
    server = DrainingServer(make_app(backend, rules, **options), backend, drain_s=5)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        backend.close(0)


@pytest.fixture(scope="session")
def nano_url() -> Iterator[str]:
    with serving(make_backend(Magistral.load("nano"))) as url:
        yield url


@pytest.fixture
def fake() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def fake_url(fake: FakeBackend) -> Iterator[str]:
    rules = Rules(max_body_bytes=1000, allowed_origins=("http://mine.example",), read_timeout_s=0.2)
    with serving(fake, rules, keep_alive_s=0.05) as url:
        yield url
