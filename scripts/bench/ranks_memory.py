#!/usr/bin/env python3
"""What each of several processes holds of a model, against one process that holds all of it.

Random weights, 16 bits or 4, and a short prompt, so that weights are most of it. Peaks are MLX's
and the process's own, which has Python and its packages beside.

    scripts/bench/ranks_memory.py [--ranks 2] [--split heads] [--bits 16] [--json]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "convert")]

_LIMIT = 0.55


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--split", default="heads")
    parser.add_argument("--bits", type=int, choices=[4, 16], default=16)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--whole", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(measure(Path(options.folder), options.split, options.whole)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = make(Path(scratch), options.layers, options.bits)
        again = [sys.executable, __file__, "--folder", str(folder), "--split", options.split]
        [whole] = said([*again, "--whole"])
        parts = said([sys.executable, __file__, "--ranks", str(options.ranks), "--launch", *again])
    report(whole, parts, as_json=options.json)


def report(whole: dict[str, int], parts: list[dict[str, int]], *, as_json: bool) -> None:
    """The table, or one object whose ratio is that of the rank that holds most."""
    ratio = max(part["mlx_bytes"] for part in parts) / whole["mlx_bytes"]
    if as_json:
        print(json.dumps({"ratio": ratio, "whole": whole, "cases": parts}))
    else:
        rows = [
            ("one process", whole),
            *((f"rank {rank}", part) for rank, part in enumerate(parts)),
        ]
        for name, peak in rows:
            share = peak["mlx_bytes"] / whole["mlx_bytes"]
            print(f"{name:12} {peak['mlx_bytes'] / 1e6:8.1f} MB by MLX ({share:.3f}), ", end="")
            print(f"{peak['resident_bytes'] / 1e6:8.1f} MB resident")
    sys.exit(int(ratio > _LIMIT and len(parts) == 2))


def make(scratch: Path, layers: int, bits: int) -> Path:
    """A folder of random weights."""
    from magistral_convert.pipeline import convert_checkpoint
    from magistral_convert.recipe import Recipe
    from magistral_convert.sources.kinds import open_source
    from scripts.bench.random_model import make_model

    folder = make_model(scratch, dim=1024, layers=layers)
    if bits == 16:
        return folder
    convert_checkpoint(open_source(folder), scratch / "quantized", Recipe(bits))
    return scratch / "quantized"


def said(command: list[str]) -> list[dict[str, int]]:
    """What a process prints, a list of peaks."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'convert'}"}
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
    peaks: list[dict[str, int]] = json.loads(found.stdout)
    return peaks


def launch() -> None:
    """As the launcher: this script again, over ranks."""
    from mlx_magistral.cluster.hosts import local_hosts
    from mlx_magistral.cluster.launch import run

    ranks, at = int(sys.argv[2]), sys.argv.index("--launch")
    sys.exit(run(local_hosts(ranks), sys.argv[at + 2 :]))


def measure(folder: Path, split: str, is_whole: bool) -> list[dict[str, int]]:
    """Load, answer, and say the peaks of every rank."""
    from mlx_magistral import Magistral
    from mlx_magistral.cluster.follower import peaks

    ask: dict[str, Any] = {"max_tokens": 2, "raw_system": True, "temperature": 0.0}
    if is_whole:
        Magistral.load(folder, context_tokens=1024).generate("Hi", **ask)
        return [peaks()]
    from mlx_magistral.cluster.call import Call
    from mlx_magistral.cluster.forming import form
    from mlx_magistral.cluster.reader import LedReader
    from mlx_magistral.cluster.share import Split

    call = Call.take()
    assert call is not None
    leader = form(call)
    reader = LedReader(leader, Split(split))
    model = Magistral.load(folder, context_tokens=1024, reader=reader)
    model.generate("Hi", **ask)
    leader.tell({"op": "peak"})
    others = leader.answers("peak").values()
    return [peaks(), *({key: each[key] for key in peaks()} for each in others)]


if __name__ == "__main__":
    launch() if "--launch" in sys.argv else main()
