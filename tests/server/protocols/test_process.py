"""``serve`` as a process: start-up, a drain, a port in use, flags that clash."""

import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from mlx_magistral.cli.main import main

PROGRAM = [sys.executable, "-m", "mlx_magistral", "serve"]


def start(model: str, *flags: str) -> tuple["subprocess.Popen[str]", str]:
    process = subprocess.Popen(
        [*PROGRAM, model, "--port", "0", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    url = re.search(r"http://[\d.]+:\d+", line)
    assert url is not None, line
    return process, url.group()


def test_drain_lets_a_reply_finish_and_then_cancels(endless_model: Path) -> None:
    process, url = start(str(endless_model), "--drain", "1")
    body = {"model": "x", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with process, httpx.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
        lines = reply.iter_lines()
        while "reasoning" not in (line := next(lines)) and '"content":"' not in line:
            pass
        process.send_signal(signal.SIGTERM)
        rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        ending = json.loads(rest[-2].removeprefix("data: "))
        assert ending["choices"][0]["finish_reason"] == "length"
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None and process.stderr.read() == ""


def test_second_signal_ends_it_at_once(endless_model: Path) -> None:
    process, url = start(str(endless_model), "--drain", "600")
    body = {"model": "x", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with process, httpx.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
        lines = reply.iter_lines()
        next(lines)
        process.send_signal(signal.SIGTERM)
        for _ in range(3):
            next(lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_open_shows_the_page_in_the_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    os.mkfifo(seen)
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    process, url = start("nano", "--open")
    with process:
        # The browser waits until its fifo is read, and the server answers meanwhile.
        assert httpx.get(url, timeout=60).status_code == 200
        reader = os.open(seen, os.O_RDONLY | os.O_NONBLOCK)
        assert select.select([reader], [], [], 60)[0], "no browser was opened"
        assert os.read(reader, 100).decode() == f"{url}\n"
        os.close(reader)
        process.terminate()


def test_port_in_use_and_open_host_are_one_line() -> None:
    process, url = start("nano")
    with process:
        port = url.rpartition(":")[2]
        taken = subprocess.run(
            [*PROGRAM, "nano", "--port", port], capture_output=True, text=True, check=False
        )
        process.terminate()
    assert taken.returncode == 1 and taken.stderr.count("\n") == 1 and "in use" in taken.stderr
    refused = CliRunner().invoke(main, ["serve", "nano", "--host", "0.0.0.0"])
    assert refused.exit_code == 2 and "--api-key" in refused.stderr
