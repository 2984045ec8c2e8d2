#!/usr/bin/env python3
"""Seconds from process start to the first generated text: ours against mlx_lm.generate.

Both programs answer the same question with the same weights (nano, converted to bf16 once), in
turn, so that a machine whose speed drifts is fair to both. The clock stops at the first byte of
generated text: on stderr for ours (the thinking), after the ruler line on stdout for mlx-lm.

    scripts/bench/startup.py [--runs 7] [--json]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

QUESTION = "What is 37 + 48?"
RULER = b"==========\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="counted pairs, after one warm-up")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "nano-bf16"
        _convert(folder)
        pairs = [(_ours(folder), _mlx_lm(folder)) for _ in range(options.runs + 1)][1:]
    cases = [{"ours_s": ours, "mlx_lm_s": theirs, "ratio": ours / theirs} for ours, theirs in pairs]
    ratio = statistics.median(case["ratio"] for case in cases)
    if options.json:
        print(json.dumps({"ratio": ratio, "cases": cases}))
        return
    for name in ("ours_s", "mlx_lm_s"):
        values = sorted(case[name] for case in cases)
        median = statistics.median(values)
        print(f"{name:9} median {median:.2f}  min {values[0]:.2f}  max {values[-1]:.2f}")
    print(f"ours / mlx-lm, median of pairs: {ratio:.2f} ({1 / ratio:.1f} times shorter)")


def _convert(folder: Path) -> None:
    command = ["-m", "mlx_magistral", "convert", "nano", str(folder), "--bits", "16"]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)


def _ours(folder: Path) -> float:
    command = ["-m", "mlx_magistral", "generate", QUESTION, "--model", str(folder)]
    return _first_text_s([*command, "--temperature", "0", "--max-tokens", "8"], stream="stderr")


def _mlx_lm(folder: Path) -> float:
    command = ["-m", "mlx_lm", "generate", "--model", str(folder), "--prompt", QUESTION]
    return _first_text_s([*command, "--temp", "0", "--max-tokens", "8"], stream="stdout")


def _first_text_s(arguments: list[str], stream: str) -> float:
    started = time.perf_counter()
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, *arguments], bufsize=0, stdin=subprocess.DEVNULL, **pipes
    ) as process:
        source: IO[bytes] | None = process.stdout if stream == "stdout" else process.stderr
        assert source is not None
        if stream == "stdout":
            _skip_past(source, RULER)
        if not source.read(1):
            raise SystemExit(f"{' '.join(arguments)} printed no text")
        elapsed = time.perf_counter() - started
        source.read()
    return elapsed


def _skip_past(source: IO[bytes], mark: bytes) -> None:
    seen = b""
    while not seen.endswith(mark):
        byte = source.read(1)
        if not byte:
            raise SystemExit(f"the peer ended without text: {seen.decode(errors='replace')}")
        seen += byte


if __name__ == "__main__":
    main()
