"""Mixed traffic against a real server: chats, streams that are cut, bad input. Prints a verdict.

    scripts/checks/soak_server.py --minutes 30

Every request ends in one of the ways it may end, the server's memory stays flat after a warm-up,
and at the end nothing runs or waits. Linux only: memory is read from /proc.
"""

import argparse
import asyncio
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

_BAD: list[tuple[Any, str]] = [
    ({"model": "x"}, "missing"),
    ({"model": "x", "messages": []}, "empty"),
    ({"model": "x", "messages": [{"role": "nobody", "content": "?"}]}, "role"),
    ({"model": "x", "messages": [{"role": "user", "content": "?"}], "audio": 1}, "field"),
    ({"model": "x", "messages": [{"role": "user", "content": "too long " * 9000}]}, "length"),
    ([], "no object"),
]
# Requests whose reply comes whole: a path and a body from those of a chat.
_WHOLE: dict[str, Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "whole": lambda asked: ("/v1/chat/completions", asked),
    "message": lambda asked: ("/v1/messages", asked),
    "response": lambda asked: ("/v1/responses", {"model": "x", "input": asked["messages"]}),
    "completion": lambda asked: (
        "/v1/completions",
        {"model": "x", "prompt": asked["messages"][0]["content"], "max_tokens": 50},
    ),
}
_BUSY = (429, 503)
_WORKERS = 6
_PROMPTS = ("What is {a} + {b}?", "Sort {a}, {b}, 7.", "x " * 300 + "{a} {b}")


async def main() -> int:
    """0 where everything is accounted for and memory stayed flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--model", default="nano")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "mlx_magistral", "serve", arguments.model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://[\d.]+:\d+", server.stdout.readline())
        assert found is not None, "the server did not start"
        end = time.monotonic() + arguments.minutes * 60
        counts: Counter[str] = Counter()
        memory: list[int] = []
        async with httpx.AsyncClient(base_url=found.group(), timeout=120) as client:
            workers = [_work(client, counts, end, seed) for seed in range(_WORKERS)]
            await asyncio.gather(_measure(server.pid, memory, end), *workers)
            left = await _settled(client)
        server.terminate()
        code = server.wait(60)
    warm = memory[len(memory) // 4 :]
    growth = warm[-1] / warm[0] - 1
    print(dict(counts), f"left {left}, exit {code}")
    print(
        f"resident: {memory[0]} kB at the start, {warm[0]} after a quarter, "
        f"{memory[len(memory) // 2]} in the middle, {warm[-1]} at the end"
    )
    print(f"growth after the warm-up {growth:+.1%}")
    is_sound = not counts["wrong"] and left == 0 and code == 0 and growth < 0.10
    print("sound" if is_sound else "NOT SOUND")
    return 0 if is_sound else 1


async def _work(client: httpx.AsyncClient, counts: Counter[str], end: float, seed: int) -> None:
    rng = random.Random(seed)
    while time.monotonic() < end:
        a, b = rng.randint(1, 999), rng.randint(1, 999)
        asked = {
            "model": "x",
            "messages": [{"role": "user", "content": rng.choice(_PROMPTS).format(a=a, b=b)}],
            "max_tokens": 200,
        }
        kind = rng.choice(("whole", "stream", "cut", "bad", "message", "response", "completion"))
        try:
            counts[await _one(client, kind, asked, rng)] += 1
        except (httpx.HTTPError, AssertionError) as error:
            print(f"{kind}: {error!r}", file=sys.stderr)
            counts["wrong"] += 1


async def _one(
    client: httpx.AsyncClient, kind: str, asked: dict[str, Any], rng: random.Random
) -> str:
    chat = "/v1/chat/completions"
    if kind == "bad":
        body, name = rng.choice(_BAD)
        reply = await client.post(chat, json=body)
        assert reply.status_code == 400, f"{name}: {reply.status_code}"
    elif kind in _WHOLE:
        path, body = _WHOLE[kind](asked)
        reply = await client.post(path, json=body)
        if reply.status_code in _BUSY:
            return "busy"
        assert reply.status_code == 200, reply.text
    else:
        lines: list[str] = []
        stop_after = rng.randint(1, 20) if kind == "cut" else None
        async with client.stream("POST", chat, json={**asked, "stream": True}) as stream:
            if stream.status_code in _BUSY:
                return "busy"
            async for line in stream.aiter_lines():
                lines += [line] if line else []
                if len(lines) == stop_after:
                    return "cut"
        assert lines[-1] == "data: [DONE]"
    return kind


async def _measure(pid: int, memory: list[int], end: float) -> None:
    while time.monotonic() < end:
        status = Path(f"/proc/{pid}/status").read_text()
        memory.append(int(status.partition("VmRSS:")[2].split()[0]))
        await asyncio.sleep(2)


async def _settled(client: httpx.AsyncClient) -> int:
    """What still runs or waits a moment after the last request."""
    for _ in range(50):
        now = (await client.get("/health")).json()
        if now["running"] + now["queued"] == 0:
            return 0
        await asyncio.sleep(0.1)
    return int(now["running"] + now["queued"])


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
