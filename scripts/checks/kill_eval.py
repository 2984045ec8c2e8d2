#!/usr/bin/env python3
"""`eval nano` killed (kill -9) at twenty moments and begun again: the samples are those of a run
that nobody touched, and no line that was there is ever lost.

    scripts/checks/kill_eval.py [--kills 20] [--limit 48]
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--limit", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = folder / "whole"
        command = [sys.executable, "-m", "mlx_magistral", "eval", "nano", "-m", "nano", "-q"]
        command += ["--limit", str(options.limit), "-n", "2", "--width", "8", "--run"]
        started = time.monotonic()
        subprocess.run([*command, str(whole)], check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        draw = random.Random(options.seed)
        killed = folder / "killed"
        kills = 0
        for _ in range(options.kills):
            kills += kill_once([*command, str(killed)], killed, draw.uniform(0.2, 1) * seconds / 4)
        subprocess.run([*command, str(killed)], check=True, stdout=subprocess.DEVNULL)
        one, other = said(whole), said(killed)
        assert one == other, "the samples are not the same"
        assert len(lines(killed)) == len(one), "a sample is there twice"
        print(
            f"killed {kills} times of {options.kills}; {len(one)} of {len(one)} samples are equal"
        )


def kill_once(command: list[str], folder: Path, after: float) -> bool:
    """Begin, kill, and look at what is left; False where it was through before."""
    before = lines(folder)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert lines(folder)[: len(before)] == before, "a line was lost"
            return True
    assert process.returncode == 0, f"it ended with {process.returncode}"
    return False


def lines(folder: Path) -> list[bytes]:
    """The whole lines that are there."""
    path = folder / "samples.jsonl"
    found = path.read_bytes() if path.exists() else b""
    return found.splitlines()[: found.count(b"\n")]


def said(folder: Path) -> dict[tuple[str, int], tuple[str, str, str]]:
    """What does not depend on the clock, by problem and sample."""
    records = map(json.loads, lines(folder))
    return {
        (each["problem"], each["sample"]): (each["thinking"], each["answer"], each["verdict"])
        for each in records
    }


if __name__ == "__main__":
    main()
