#!/usr/bin/env python3
"""Seconds and peak memory of a 4-bit conversion: ours against mlx_lm.convert, in turn.

Both convert the same slice of Magistral's layers with random weights, from the command line to the
finished folder. Ours also hashes what it read, flushes, reads back and hashes what it wrote.

    scripts/bench/convert.py [--runs 3] [--layers 2] [--json]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx

from mlx_magistral.memory.known import MAGISTRAL_SMALL
from mlx_magistral.model.names import expected_shapes


class Run(NamedTuple):
    """What one conversion took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="counted pairs, after one warm-up")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source, output = Path(scratch) / "source", Path(scratch) / "out"
        # In a process of its own: a child's peak memory counts what its parent held at the fork.
        writer = get_context("spawn").Process(target=write_slice, args=(source, options.layers))
        writer.start()
        writer.join()
        ours = ["mlx_magistral", "convert", str(source), str(output), "--bits", "4"]
        theirs = ["mlx_lm", "convert", "--hf-path", str(source), "--mlx-path", str(output), "-q"]
        pairs = [(_run(ours, output), _run(theirs, output)) for _ in range(options.runs + 1)][1:]
    cases = [
        {"ours_s": a.seconds, "mlx_lm_s": b.seconds, "ratio": a.seconds / b.seconds}
        | {"ours_cpu_s": a.cpu_seconds, "mlx_lm_cpu_s": b.cpu_seconds}
        | {"ours_peak_bytes": a.peak_bytes, "mlx_lm_peak_bytes": b.peak_bytes}
        for a, b in pairs
    ]
    ratio = statistics.median(case["ratio"] for case in cases)
    if options.json:
        print(json.dumps({"ratio": ratio, "cases": cases}))
        return
    for case in cases:
        print("   ".join(_line(case, side) for side in ("ours", "mlx_lm")))
    print(f"ours / mlx-lm, median of pairs: {ratio:.2f}")


def _line(case: dict[str, float], side: str) -> str:
    return (
        f"{side.replace('_', '-'):6} {case[f'{side}_s']:6.1f} s, {case[f'{side}_cpu_s']:5.1f} s of "
        f"CPU, {case[f'{side}_peak_bytes'] / 1e9:5.2f} GB"
    )


def write_slice(folder: Path, layers: int) -> None:
    """An HF checkpoint of Magistral's dimensions with few layers and a small vocabulary."""
    from tokenizers import Tokenizer, models

    folder.mkdir()
    config = replace(MAGISTRAL_SMALL, n_layers=layers, vocab_size=8192)
    (folder / "config.json").write_text(json.dumps(config.to_hf()))
    mx.random.seed(0)
    weights = {
        name: (mx.random.normal(shape) * 0.02).astype(mx.bfloat16)
        for name, shape in expected_shapes(config).items()
    }
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "pt"})
    # mlx-lm loads a tokenizer before anything else; the smallest will do.
    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(folder / "tokenizer.json"))
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "a"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))


def _run(command: list[str], output: Path) -> Run:
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{message.decode()}")
    shutil.rmtree(output)
    cpu_seconds = usage.ru_utime + usage.ru_stime
    peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Run(seconds, cpu_seconds, peak_bytes)


if __name__ == "__main__":
    main()
