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
        subprocess.run([*command, str(whole)], check=True, stdout=subprocess.DEVNULL)
        draw = random.Random(options.seed)
        killed = folder / "killed"
        # Some samples further each time, few enough that there are some left for the last kill.
        most = 2 * options.limit // (options.kills + 4)
        for _ in range(options.kills):
            kill_once([*command, str(killed)], killed, draw.randint(0, most), draw.random())
        subprocess.run([*command, str(killed)], check=True, stdout=subprocess.DEVNULL)
        one, other = said(whole), said(killed)
        assert one == other, "the samples are not the same"
        assert len(lines(killed)) == len(one), "a sample is there twice"
        print(f"killed {options.kills} times; {len(one)} of {len(one)} samples are equal")


def kill_once(command: list[str], folder: Path, more: int, share: float) -> None:
    """Begin, kill a moment after so many more samples, and look at what is left."""
    before = lines(folder)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while len(lines(folder)) < len(before) + more:
            assert process.poll() is None, f"it ended with {process.returncode}"
            time.sleep(0.01)
        # At any point of a reply, or of its own beginning where no sample was waited for.
        time.sleep(share * (0.3 if more else 3.0))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was through before"
    assert lines(folder)[: len(before)] == before, "a line was lost"


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
