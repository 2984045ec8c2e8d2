"""A server as a process, and what a person does on its page."""

import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = next(
    (path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None
)
DARK = "rgb(25, 23, 20)"


class Served:
    """A server process and its address."""

    def __init__(self, model: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "mlx_magistral", "serve", model, "--port", str(port)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
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


def visit(page: "Page", server: Served) -> None:
    from playwright.sync_api import expect

    page.goto(server.url)
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Magistral")


def ask(page: "Page", question: str) -> None:
    page.get_by_label("Your message").fill(question)
    page.keyboard.press("Enter")


def answered(page: "Page", count: int = 1) -> None:
    """The reply number ``count`` is complete."""
    from playwright.sync_api import expect

    expect(page.locator(".assistant [data-action=copy]:visible")).to_have_count(count)
