"""A server as a process, and what a person does on its page."""

import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CHROMIUM = next(
    (path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None
)
DARK = "rgb(25, 23, 20)"


class Server(Protocol):
    url: str


class Served:
    """A server process and its address."""

    def __init__(self, model: str, port: int, *flags: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "mlx_magistral", "serve", model, "--port", str(port)]
        self._process = subprocess.Popen(
            [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        # It says where it is when it listens, or nothing when it has ended.
        assert f"{self.url}/" in self._process.stdout.readline()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def visit(page: "Page", server: Server) -> None:
    """Open the page, and wait until it knows the model and its conversations."""
    from playwright.sync_api import expect

    page.goto(server.url)
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Magistral")
    expect(page.locator("body")).to_have_attribute("data-ready", "")


def ask(page: "Page", question: str) -> None:
    box(page).fill(question)
    page.keyboard.press("Enter")


def box(page: "Page") -> "Locator":
    return page.locator("#question")


def replies(page: "Page") -> "Locator":
    return page.locator(".assistant")


def button(page: "Page", name: str) -> "Locator":
    return page.get_by_role("button", name=name, exact=True)


def answered(page: "Page", count: int = 1) -> None:
    """So many replies are shown, and all are complete."""
    from playwright.sync_api import expect

    expect(replies(page)).to_have_count(count)
    expect(page.locator(".assistant.running")).to_have_count(0)
    expect(button(page, "Send")).to_be_visible()
