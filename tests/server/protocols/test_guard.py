"""Who is let in, how refusals look, what a lost or slow client costs. No model."""

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner
from server_fakes import OVERLOADED, SCRIPT, TOO_LONG, FakeBackend

from mlx_magistral.cli.main import main
from mlx_magistral.errors import MagistralError
from mlx_magistral.server.guard import Rules
from mlx_magistral.server.uvicorn_server import bind

from .asking import Asker
from .conftest import serving

CHAT = {"model": "any", "messages": [{"role": "user", "content": "hi"}]}


def chat(url: str, **options: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", **{"json": CHAT, **options})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example"])
def test_rebound_host_is_refused(fake_url: str, host: str) -> None:
    reply = chat(fake_url, headers={"host": host})
    assert reply.status_code in (400, 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_foreign_page_is_refused(fake: FakeBackend, fake_url: str, headers: Any) -> None:
    reply = chat(fake_url, headers=headers)
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "origin_not_allowed"
    assert not fake.requests


def test_own_and_allowed_pages_are_let_in(fake_url: str) -> None:
    assert chat(fake_url, headers={"origin": fake_url}).status_code == 200
    origin = {"origin": "http://mine.example"}
    reply = chat(fake_url, headers=origin)
    assert reply.headers["access-control-allow-origin"] == "http://mine.example"
    assert httpx.options(f"{fake_url}/v1/chat/completions", headers=origin).status_code == 204


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8080", "app.localhost", "[::1]:8080", "192.168.1.5:9000"),
        *("host.docker.internal:8080", "mymac.local", "gateway.internal", "nas.home.arpa"),
        *("mac.tail1234.ts.net", "ollama-proxy", "mymac.local."),
    ],
)
def test_names_that_no_stranger_can_hold_are_let_in(fake_url: str, host: str) -> None:
    assert chat(fake_url, headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost.evil.example", "local.evil", "evillocal.example", "x.ts.net.evil.example"]
)
def test_names_that_only_look_alike_are_refused(fake_url: str, host: str) -> None:
    reply = chat(fake_url, headers={"host": host})
    assert reply.status_code == 403 and reply.json()["error"]["code"] == "host_not_allowed"
    assert host in reply.text and "--allow-host" in reply.text


def test_further_names_are_allowed_by_name() -> None:
    asker = Asker(Rules(allowed_hosts=("Llm.Example", "*.proxy.example")))

    def status(host: str) -> int:
        return asker.send("GET", "/v1/models", headers={"host": host}).status_code

    allowed = ("llm.example", "llm.example:8080", "a.proxy.example", "a.b.proxy.example")
    assert [status(host) for host in allowed] == [200] * 4
    refused = ("x.llm.example", "proxy.example", "evilproxy.example", "example")
    assert [status(host) for host in refused[:3]] == [403] * 3


def test_who_has_the_key_may_come_by_any_name() -> None:
    asker = Asker(Rules(api_key="secret"))

    def status(**headers: str) -> int:
        headers = {"host": "llm.example", **headers}
        return asker.send("GET", "/v1/models", headers=headers).status_code

    assert status(authorization="Bearer secret") == 200
    assert status(**{"x-api-key": "secret"}) == 200
    assert status(authorization="Bearer wrong") == status() == 403
    # A server without a key has no right one.
    asker = Asker()
    assert status(authorization="Bearer ") == status(authorization="Bearer None") == 403


def test_a_preflight_is_answered_with_the_headers_it_asks_for(fake_url: str) -> None:
    asked = "authorization,content-type,x-stainless-arch,x-stainless-lang"
    headers = {"origin": "http://mine.example", "access-control-request-headers": asked}
    reply = httpx.options(f"{fake_url}/v1/chat/completions", headers=headers)
    assert reply.headers["access-control-allow-headers"] == asked
    assert "x-ignored-fields" in reply.headers["access-control-expose-headers"]
    headers["origin"] = "http://evil.example"
    assert httpx.options(f"{fake_url}/v1/chat/completions", headers=headers).status_code == 403


def test_every_origin_can_be_allowed() -> None:
    asker = Asker(Rules(allowed_origins=("*",)))
    for origin in ("http://a.example", "null"):
        reply = asker.send("GET", "/v1/models", headers={"origin": origin})
        assert reply.status_code == 200
        assert reply.headers["access-control-allow-origin"] == origin


def test_origins_are_checked_when_the_server_starts() -> None:
    for origin in ("example.org", "http://a.example/path", "**"):
        result = CliRunner().invoke(main, ["serve", "nano", "--allow-origin", origin])
        assert result.exit_code == 2 and "is no origin" in result.stderr


def test_a_path_off_by_v1_says_so(fake_url: str) -> None:
    def said(path: str) -> str:
        reply = httpx.post(f"{fake_url}{path}", json=CHAT)
        assert reply.status_code == 404
        return str(reply.json()["error"]["message"])

    assert "the API is under /v1" in said("/chat/completions")
    assert "/messages" in said("/messages")
    assert "once too often" in said("/v1/v1/messages")
    assert "/openapi.json" in said("/v1/embeddings")


def test_form_of_a_foreign_page_is_no_request(fake_url: str) -> None:
    body = {"content": json.dumps(CHAT), "headers": {"content-type": "text/plain"}}
    reply = httpx.post(f"{fake_url}/v1/chat/completions", **body)  # type: ignore[arg-type]
    assert reply.status_code == 415


def test_key_is_asked_for_in_either_header(fake: FakeBackend) -> None:
    with serving(fake, Rules(api_key="secret")) as url:
        refused = chat(url)
        assert refused.status_code == 401 and refused.json()["error"]["code"] == "invalid_api_key"
        assert chat(url, headers={"authorization": "Bearer wrong"}).status_code == 401
        assert chat(url, headers={"authorization": "Bearer secret"}).status_code == 200
        assert chat(url, headers={"x-api-key": "secret"}).status_code == 200
        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(f"{url}/v1/models").status_code == 401


def test_large_body_is_refused_with_and_without_a_length(fake_url: str) -> None:
    whole = json.dumps({**CHAT, "user": "x" * 2000}).encode()
    headers = {"content-type": "application/json"}
    url = f"{fake_url}/v1/chat/completions"
    assert httpx.post(url, content=whole, headers=headers).status_code == 413
    pieces = iter([whole[:900], whole[900:]])
    assert httpx.post(url, content=pieces, headers=headers).status_code == 413


def test_slow_body_is_given_up(fake_url: str) -> None:
    address = urlsplit(fake_url)
    assert address.hostname and address.port
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 408")


def test_errors_have_the_shape_of_their_api(fake: FakeBackend, fake_url: str) -> None:
    missing = httpx.get(f"{fake_url}/nowhere")
    assert missing.status_code == 404 and missing.json()["error"]["type"]
    wrong = httpx.get(f"{fake_url}/v1/messages")
    assert wrong.status_code == 405 and wrong.json()["type"] == "error"
    fake.refusal = OVERLOADED
    full = chat(fake_url)
    assert full.status_code == 503 and full.headers["retry-after"] == "3"
    fake.refusal = TOO_LONG
    assert chat(fake_url).json()["error"]["code"] == "context_length_exceeded"
    asked = {**CHAT, "max_tokens": 5}
    long = httpx.post(f"{fake_url}/v1/messages", json=asked)
    assert long.json()["error"]["type"] == "invalid_request_error"


def test_inner_failure_tells_nothing_of_itself(fake: FakeBackend, fake_url: str) -> None:
    fake.script = [MagistralError("a secret path")]
    reply = chat(fake_url)
    assert reply.status_code == 500 and "secret" not in reply.text


def test_lost_client_cancels_and_waiting_ones_are_kept_alive(
    fake: FakeBackend, fake_url: str
) -> None:
    fake.script = SCRIPT[:1]
    with httpx.stream(
        "POST", f"{fake_url}/v1/chat/completions", json={**CHAT, "stream": True}
    ) as reply:
        lines = reply.iter_lines()
        while next(lines) != ": keep-alive":
            pass
        assert not fake.tickets[0].cancelled.is_set()
    assert fake.tickets[0].cancelled.wait(5)


def test_client_lost_before_a_whole_reply_cancels(fake: FakeBackend, fake_url: str) -> None:
    fake.script = SCRIPT[:1]
    with pytest.raises(httpx.ReadTimeout):
        chat(fake_url, timeout=0.3)
    assert fake.tickets[0].cancelled.wait(5)


def test_request_that_takes_too_long_ends(fake: FakeBackend) -> None:
    fake.script = []
    with serving(fake, request_timeout_s=0.1) as url:
        assert chat(url).status_code == 504
    assert fake.tickets[0].cancelled.is_set()


def test_metrics_count_what_was_served(fake_url: str) -> None:
    chat(fake_url)
    text = httpx.get(f"{fake_url}/metrics").text
    assert 'magistral_tokens_total{kind="reasoning"} 1.0' in text
    assert 'route="/v1/chat/completions",status="200"' in text


def test_port_in_use_is_one_line() -> None:
    with bind("127.0.0.1", 0) as taken, pytest.raises(MagistralError, match="is in use"):
        bind("127.0.0.1", taken.getsockname()[1])


def test_slow_headers_are_cut(fake: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlx_magistral.server.uvicorn_server.HEADER_TIMEOUT_S", 0.1)
    with serving(fake) as url:
        address = urlsplit(url)
        assert address.hostname and address.port
        with socket.create_connection((address.hostname, address.port), 5) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nhost: loc")
            started = time.monotonic()
            assert client.recv(100) == b""
            assert time.monotonic() - started < 4
