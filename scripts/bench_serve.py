#!/usr/bin/env python3
"""Serving several at once: our batching backend against mlx_lm.server, in tokens per second.

Two servers on loopback with the same folder: nano's shape in bf16 with random weights, whose
replies go on to max_tokens (those of nano end too soon). The same prompts go to each in turn, all
of a round at once; prompts of different rounds share no beginning. No seed is sent, with which
mlx_lm.server would not batch. The ratio is the median over the
rounds of ours / mlx_lm.server. Needs the dev extra (mlx-lm).

    scripts/bench_serve.py [--clients 8] [--words 60] [--tokens 64] [--layers 4] [--runs 5] [--json]
"""

import argparse
import http.client
import json
import random
import shutil
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
from typing import Any

import mlx.core as mx

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.source_kinds import open_source
from mlx_magistral.hub import nano_folder

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
    parser.add_argument("--layers", type=int, default=4, help="of nano's, repeated where more")
    parser.add_argument("--runs", type=int, default=5, help="counted rounds, after one warm-up")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_model(Path(scratch), options.layers)
        ports = {"ours": free_port(), "mlx_lm.server": free_port()}
        servers = [
            start(["-m", "mlx_magistral", "serve", str(folder), "--port", str(ports["ours"])]),
            start(
                ["-m", "mlx_lm", "server", "--model", str(folder), "--log-level", "ERROR"]
                + ["--port", str(ports["mlx_lm.server"])]
            ),
        ]
        try:
            for port in ports.values():
                wait_for(port)
            rounds = [
                round_of(number, folder, ports, options) for number in range(options.runs + 1)
            ][1:]
        finally:
            for server in servers:
                server.terminate()
                server.wait()
    report(rounds, options.json)


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
    names = list(rounds[0])
    ratio = statistics.median(each["ours"]["tps"] / each["mlx_lm.server"]["tps"] for each in rounds)
    first = statistics.median(
        each["ours"]["ttft_mean_s"] / each["mlx_lm.server"]["ttft_mean_s"] for each in rounds
    )
    if as_json:
        print(json.dumps({"ratio": ratio, "ttft_ratio": first, "cases": rounds}))
        return
    print("server          tok/s  first token, mean  latest (s), medians of the rounds")
    for name in sorted(names, reverse=True):
        tps, mean_s, max_s = (
            statistics.median(each[name][key] for each in rounds)
            for key in ("tps", "ttft_mean_s", "ttft_max_s")
        )
        print(f"{name:14} {tps:6.1f}  {mean_s:17.2f}  {max_s:10.2f}")
    print(f"ours / mlx_lm.server: {ratio:.2f} in tokens per second, {first:.2f} in time to first")


def make_model(scratch: Path, layers: int) -> Path:
    """nano's shape and tokenizer, random weights, in the converted form both servers load."""
    source, folder = scratch / "native", scratch / "model"
    source.mkdir()
    for name in ("params.json", "tekken.json", "SYSTEM_PROMPT.txt"):
        shutil.copy(nano_folder() / name, source / name)
    params = json.loads((source / "params.json").read_text())
    trained: Any = mx.load(str(nano_folder() / "consolidated.safetensors"))
    for index in range(params["n_layers"], layers):
        like = f"layers.{index % params['n_layers']}."
        own = [name for name in trained if name.startswith(like)]
        trained |= {name.replace(like, f"layers.{index}."): trained[name] for name in own}
    params["n_layers"] = max(layers, params["n_layers"])
    (source / "params.json").write_text(json.dumps(params))
    mx.random.seed(0)
    weights = {
        name: value if value.ndim == 1 else mx.random.normal(value.shape).astype(value.dtype) * 0.1
        for name, value in trained.items()
    }
    mx.save_safetensors(str(source / "consolidated.safetensors"), weights)
    convert_checkpoint(open_source(source), folder, Recipe(16))
    return folder


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL)


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
