#!/usr/bin/env python3
"""Serving several at once: our batching backend against mlx_lm.server, in tokens per second.

Two servers on loopback with the same folder: nano's shape, or a larger one by --dim and --layers,
in bf16 with random weights, whose replies go on to max_tokens (those of nano end too soon). The
same prompts go to each in turn, all of a round at once; prompts of different rounds share no
beginning. No seed is sent, with which mlx_lm.server would not batch. The ratio is the median over
the rounds of ours / mlx_lm.server. On Linux the processor seconds that each server took are told
too: other programs on the machine disturb them less than the clock. Needs the dev extra (mlx-lm).

    scripts/bench/serve.py [--clients 8] [--words 60] [--tokens 64] [--dim 128] [--layers 4]
"""

import argparse
import http.client
import json
import math
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlx_magistral.memory.prefixes.disk import FOLDER_VARIABLE
from random_model import make_model

START_S = 60.0
JSON_TYPE = {"Content-Type": "application/json"}
# The model card's sampling.
SAMPLING = {"temperature": 0.7, "top_p": 0.95}


@dataclass(frozen=True)
class Heard:
    """One reply as its client saw it."""

    first_s: float
    tokens: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=8, help="requests at once")
    parser.add_argument("--words", type=int, default=60, help="words of each prompt")
    parser.add_argument("--tokens", type=int, default=64, help="max_tokens of each reply")
    parser.add_argument("--dim", type=int, default=128, help="of the model, a multiple of 64")
    parser.add_argument("--layers", type=int, default=4, help="of the model")
    parser.add_argument("--runs", type=int, default=5, help="counted rounds, after one warm-up")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_model(Path(scratch), dim=options.dim, layers=options.layers)
        ports = {"ours": free_port(), "mlx_lm.server": free_port()}
        prefixes = {FOLDER_VARIABLE: str(Path(scratch) / "prefixes")}
        ours = ["-m", "mlx_magistral", "serve", str(folder), "--port", str(ports["ours"])]
        theirs = ["-m", "mlx_lm", "server", "--model", str(folder), "--log-level", "ERROR"]
        theirs += ["--port", str(ports["mlx_lm.server"])]
        servers = {"ours": start(ours, prefixes), "mlx_lm.server": start(theirs, {})}
        try:
            for port in ports.values():
                wait_for(port)
            rounds = []
            for number in range(options.runs + 1):
                before = {name: cpu_s(server.pid) for name, server in servers.items()}
                figures = round_of(number, folder, ports, options)
                for name, server in servers.items():
                    figures[name]["cpu_s"] = cpu_s(server.pid) - before[name]
                rounds.append(figures)
        finally:
            for server in servers.values():
                server.terminate()
                server.wait()
    report(rounds[1:], options.json)


def round_of(
    number: int, folder: Path, ports: dict[str, int], options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """The same prompts to each server in turn; who is first changes with the round."""
    words = random.Random(number)
    prompts = [
        " ".join(str(words.randrange(10**6)) for _ in range(options.words // 4 * 2))
        for _ in range(options.clients)
    ]
    order = list(ports) if number % 2 else list(ports)[::-1]
    figures = {}
    for name in order:
        started = time.perf_counter()
        with ThreadPoolExecutor(options.clients) as pool:
            gate = threading.Barrier(options.clients)
            each_asks = partial(ask, ports[name], str(folder), options.tokens, gate)
            heard = list(pool.map(each_asks, prompts))
        wall_s = time.perf_counter() - started
        figures[name] = {
            "tps": sum(each.tokens for each in heard) / wall_s,
            "ttft_mean_s": statistics.mean(each.first_s for each in heard),
            "ttft_max_s": max(each.first_s for each in heard),
        }
    return figures


def ask(port: int, model: str, tokens: int, gate: threading.Barrier, prompt: str) -> Heard:
    """One streamed completion."""
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "stream": True, **SAMPLING}
    body["stream_options"] = {"include_usage": True}
    gate.wait()
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", "/v1/completions", json.dumps(body), JSON_TYPE)
    first_s, count = 0.0, 0
    response = connection.getresponse()
    assert response.status == 200, response.read().decode()
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        first_s = first_s or time.perf_counter() - started
        if b'"usage"' in line:
            usage = json.loads(line[len(b"data: ") :])["usage"]
            count = usage["completion_tokens"] if usage else count
    connection.close()
    assert count, "the server ended a reply without its usage"
    return Heard(first_s, count)


def report(rounds: list[dict[str, dict[str, float]]], as_json: bool) -> None:
    ratios = {
        key: statistics.median(each["ours"][key] / each["mlx_lm.server"][key] for each in rounds)
        for key in ("tps", "ttft_mean_s", "cpu_s")
    }
    if as_json:
        named = {"ratio": ratios["tps"], "ttft_ratio": ratios["ttft_mean_s"]}
        print(json.dumps({**named, "cpu_ratio": ratios["cpu_s"], "cases": rounds}))
        return
    print(
        "server          tok/s  first token, mean  latest (s)  processor s, medians of the rounds"
    )
    for name in ("ours", "mlx_lm.server"):
        tps, mean_s, max_s, cpu = (
            statistics.median(each[name][key] for each in rounds)
            for key in ("tps", "ttft_mean_s", "ttft_max_s", "cpu_s")
        )
        print(f"{name:14} {tps:6.1f}  {mean_s:17.2f}  {max_s:10.2f}  {cpu:11.2f}")
    print(
        f"ours / mlx_lm.server: {ratios['tps']:.2f} in tokens per second, "
        f"{ratios['ttft_mean_s']:.2f} in time to first, {ratios['cpu_s']:.2f} in processor seconds"
    )


def start(arguments: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def cpu_s(pid: int) -> float:
    """Processor seconds of a process so far; nan where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Until the server listens."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()
