#!/usr/bin/env python3
"""A server over several processes whose rank is killed in a reply: what clients are told, and when
it answers again.

    scripts/checks/break_ring.py [--stop]
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from scripts.bench.random_model import make_model  # noqa: E402
from scripts.checks.kill_ranks import processes  # noqa: E402

_UP_S = 120.0
_LOST_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stop", action="store_true", help="stop the rank instead of killing it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder), context_tokens=8192)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        command = [sys.executable, "-P", "-m", "mlx_magistral", "serve", str(model), "--port"]
        command += [str(port), "--ranks", "2", "--no-reuse-prefixes"]
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'convert'}"},
            start_new_session=True,
        )
        try:
            run(f"http://127.0.0.1:{port}", server, options.stop)
        finally:
            server.kill()
            time.sleep(1.0)
    left = [pid for pid, (_, args) in processes().items() if str(port) in args]
    print(f"{len(left)} processes left")
    sys.exit(len(left))


def run(base: str, server: "subprocess.Popen[bytes]", is_stopped: bool) -> None:
    """One server's life; raises AssertionError where it is not as it should be."""
    until_up(base)
    status, body = ask(base, 4)
    assert status == 200, body
    print("a reply:", status)
    [follower] = [
        pid
        for pid, (up, args) in processes().items()
        if up == server.pid and "cluster.follow" in args
    ]
    started = time.monotonic()
    stream = urllib.request.urlopen(request(base, 4000, is_streamed=True), timeout=60)
    for _ in range(8):
        stream.readline()
    os.kill(follower, signal.SIGSTOP if is_stopped else signal.SIGKILL)
    killed = time.monotonic()
    lines = [line.decode() for line in stream if b"error" in line]
    told = time.monotonic() - killed
    assert told <= _LOST_S and lines and "rank 1" in lines[-1], (told, lines)
    print(f"the reply on its way ended after {told:.1f} s: {lines[-1].strip()}")
    status, body = ask(base, 4)
    assert status == 503, body
    print("the next one:", status, body)
    until_up(base)
    print(f"it answers again {time.monotonic() - killed:.1f} s after the loss")
    os.killpg(server.pid, signal.SIGINT)
    code = server.wait(60)
    assert code == 130, code
    print(f"Ctrl-C: exit {code}; {time.monotonic() - started:.0f} s in all")


def until_up(base: str) -> None:
    """Ask until there is a reply."""
    deadline = time.monotonic() + _UP_S
    while time.monotonic() < deadline:
        if ask(base, 1)[0] == 200:
            return
        time.sleep(0.3)
    raise AssertionError(f"it did not answer: {ask(base, 1)}")


def ask(base: str, tokens: int) -> tuple[int, str]:
    """Status and body, 0 for no connection."""
    try:
        with urllib.request.urlopen(request(base, tokens), timeout=60) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def request(base: str, tokens: int, *, is_streamed: bool = False) -> urllib.request.Request:
    """A chat of so many ids."""
    body: dict[str, Any] = {
        "model": "random",
        "messages": [{"role": "user", "content": "count"}],
        "max_tokens": tokens,
        "stream": is_streamed,
    }
    return urllib.request.Request(
        f"{base}/v1/chat/completions",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )


if __name__ == "__main__":
    main()
