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


@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """Gone after these tests: while it is driven, no other event loop can run in this thread."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # a busy machine takes its time
    with sync_playwright() as driver:
        # Chromium's own sandbox does not start as root, which is what a build machine often is.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


class _Tab:
    """A tab of its own browser profile, and what went wrong in it."""

    def __init__(self, browser: "Browser") -> None:
        # What moves is drawn 60 times a second, for nobody.
        self.context = browser.new_context(
            viewport={"width": 1000, "height": 700}, reduced_motion="reduce"
        )
        self.context.set_default_timeout(30_000)
        # Greedy, until a test sets something else.
        self.context.add_init_script(
            "if (location.protocol === 'http:')"
            " localStorage['mlx-magistral.settings'] ??= '{\"temperature\": 0}'"
        )
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self._origins: set[str] = set()
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))

    def reset(self) -> None:
        """As it was when it was made: a warm tab opens the page in a third of the time."""
        for other in self.context.pages[1:]:
            other.close()
        self.page.unroute_all()
        self.context.clear_permissions()
        if self.page.url.startswith("http:"):
            self.page.evaluate("sessionStorage.clear()")
        self.page.goto("about:blank")
        session = self.context.new_cdp_session(self.page)
        for origin in self._origins:
            session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        session.detach()
        self._origins.clear()
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": 1000, "height": 700})

    def _note(self, url: str) -> None:
        if url.startswith("http://127.0.0.1:"):
            self._origins.add("/".join(url.split("/")[:3]))
        elif not url.startswith(("blob:", "data:", "file:", "about:")):
            self.problems.append(f"asked {url}")


@pytest.fixture(scope="package")
def _tab(browser: "Browser") -> Iterator[_Tab]:
    tab = _Tab(browser)
    yield tab
    tab.context.close()


@pytest.fixture
def page(_tab: _Tab) -> Iterator["Page"]:
    """A tab that keeps nothing of earlier tests; an error on it, or a request elsewhere, fails."""
    _tab.reset()
    _tab.problems.clear()
    yield _tab.page
    assert not _tab.problems


@pytest.fixture
def own_page(browser: "Browser") -> Iterator["Page"]:
    """The same, for a test that changes the browser under the page."""
    tab = _Tab(browser)
    yield tab.page
    tab.context.close()
    assert not tab.problems
