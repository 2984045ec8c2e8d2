"""The real server and a real browser (Chromium)."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .browsing import CHROMIUM, Served, free_port
from .scripted import Scripted, serving_scripts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def nano_server() -> Iterator[Served]:
    server = Served("nano", free_port())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def endless_server(endless_model: Path) -> Iterator[Served]:
    server = Served(str(endless_model), free_port())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _scripts() -> Iterator[Scripted]:
    with serving_scripts() as server:
        yield server


@pytest.fixture
def scripted(_scripts: Scripted) -> Scripted:
    """A server whose replies the test writes."""
    _scripts.backend.reset()
    return _scripts


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # a busy machine takes its time
    with sync_playwright() as driver:
        # Chromium's own sandbox does not start as root, which is what a build machine often is.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """A fresh browser profile; any error on the page, or request to elsewhere, fails the test."""
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    context.set_default_timeout(30_000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: _note_foreign(request.url, problems))
    yield opened
    context.close()
    assert not problems


def _note_foreign(url: str, problems: list[str]) -> None:
    if not url.startswith(("http://127.0.0.1:", "blob:", "data:", "file:")):
        problems.append(f"asked {url}")
