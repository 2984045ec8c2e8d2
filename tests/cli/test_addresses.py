"""The addresses that ``serve`` prints are ones that answer."""

import socket

import pytest

from mlx_magistral.cli.addresses import is_loopback, own_addresses, reachable_urls
from mlx_magistral.cli.commands.serve import _where


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("localhost", "http://localhost:8080"),
        ("::1", "http://[::1]:8080"),
        ("studio.local", "http://studio.local:8080"),
    ],
)
def test_a_host_is_its_own_address(host: str, url: str) -> None:
    assert reachable_urls(host, 8080) == [url]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_all_interfaces_are_addresses_that_can_be_opened(host: str) -> None:
    urls = reachable_urls(host, 1)
    assert urls[0] == "http://127.0.0.1:1"
    assert len(urls) == len(set(urls))
    assert not any("0.0.0.0" in url or "[::]" in url or "[fe80" in url for url in urls)


def test_a_server_on_all_interfaces_answers_at_each_of_this_machines_addresses() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        for address in ("127.0.0.1", *own_addresses()):
            if ":" not in address:
                socket.create_connection((address, port), timeout=5).close()


def test_a_machine_without_a_network_has_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(socket.socket, "connect", fail)
    assert reachable_urls("0.0.0.0", 80) == ["http://127.0.0.1:80"]


def test_who_is_loopback() -> None:
    assert is_loopback("127.3.2.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("studio.local")


def test_the_page_comes_first() -> None:
    lines = _where(["http://127.0.0.1:80", "http://192.0.2.7:80"], "nano", 2048).splitlines()
    assert lines[0] == "Chat page  http://127.0.0.1:80/"
    assert lines[1].strip() == "http://192.0.2.7:80/"
    assert lines[2].startswith("API        http://127.0.0.1:80/v1")
    assert "2,048" in lines[3]
    assert max(map(len, lines)) <= 80
