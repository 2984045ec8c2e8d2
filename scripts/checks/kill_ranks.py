#!/usr/bin/env python3
"""What becomes of a model over several processes when one of them is killed, stopped or left alone.

Each case starts `generate --ranks 2` on random weights, does one thing to one process in the middle
of the reply, and looks how the command ends, how soon, and whether any process is left.

    scripts/checks/kill_ranks.py [--ranks 2]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from scripts.bench.random_model import make_model  # noqa: E402

# Beside what the issue allows for a loss to show, the time that a loaded machine takes to end.
LIMIT_S = 10.0
START_S = 120.0


def processes() -> dict[int, tuple[int, str]]:
    """Of every process: its parent and command line."""
    table = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in table.splitlines()[1:]]
    return {int(row[0]): (int(row[1]), row[2] if len(row) > 2 else "") for row in rows}


class Started:
    """A command over several ranks whose reply has begun."""

    def __init__(self, model: Path, ranks: int) -> None:
        command = [sys.executable, "-P", "-m", "mlx_magistral", "generate", "-m", str(model)]
        command += ["--ranks", str(ranks), "--max-tokens", "4000", "--on-loop", "off", "--think"]
        command += ["full", "--no-reuse-prefixes", "--force-think", "count"]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'convert'}"},
            start_new_session=True,
        )
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)
        self.stderr = b""
        deadline = time.monotonic() + START_S
        while len(self.stderr) < 40:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"no reply began: {self.stderr.decode()}")
            self.stderr += self.process.stderr.read() or b""
            time.sleep(0.05)
        children = {pid: args for pid, (up, args) in processes().items() if up == self.process.pid}
        self.followers = [pid for pid, args in children.items() if "cluster.follow" in args]
        [self.leader] = [pid for pid in children if pid not in self.followers]
        self.everyone = [self.process.pid, self.leader, *self.followers]

    def finish(self) -> tuple[float, int | None, str]:
        """Seconds to the end, exit code (None where it did not end), and the last line said."""
        started = time.monotonic()
        try:
            _, rest = self.process.communicate(timeout=LIMIT_S + 20)
        except subprocess.TimeoutExpired:
            return time.monotonic() - started, None, ""
        took = time.monotonic() - started
        lines = (self.stderr + (rest or b"")).decode(errors="replace").strip().splitlines()
        errors = [line for line in lines if "error:" in line]
        return (
            took,
            self.process.returncode,
            errors[-1][errors[-1].index("error:") :] if errors else "",
        )

    def left(self) -> list[int]:
        """Processes that are still there a little later."""
        time.sleep(1.0)
        there = processes()
        return [pid for pid in self.everyone if pid in there and "defunct" not in there[pid][1]]

    def clean(self) -> None:
        for pid in self.everyone:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _signal(number: int, whom: str) -> Callable[[Started], None]:
    def act(started: Started) -> None:
        pid = {
            "follower": started.followers[-1],
            "leader": started.leader,
            "launcher": started.process.pid,
        }[whom]
        os.kill(pid, number)

    return act


def _ctrl_c(started: Started) -> None:
    """As a terminal does: to rank 0 and the launcher, which are one process group."""
    os.killpg(started.process.pid, signal.SIGINT)


CASES: dict[str, tuple[Callable[[Started], None], int | None]] = {
    "a follower is killed": (_signal(signal.SIGKILL, "follower"), 1),
    "a follower is stopped": (_signal(signal.SIGSTOP, "follower"), 1),
    "rank 0 is killed": (_signal(signal.SIGKILL, "leader"), 1),
    "rank 0 is stopped": (_signal(signal.SIGSTOP, "leader"), 1),
    "the launcher is killed": (_signal(signal.SIGKILL, "launcher"), -9),
    "the launcher is ended": (_signal(signal.SIGTERM, "launcher"), 143),
    "Ctrl-C": (_ctrl_c, 130),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--case", help="only those whose name has this in it")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder), context_tokens=8192)
        for name, (act, code) in CASES.items():
            if options.case and options.case not in name:
                continue
            started = Started(model, options.ranks)
            try:
                act(started)
                took, ended, line = started.finish()
                left = started.left()
            finally:
                started.clean()
            is_right = ended == code and took <= LIMIT_S and not left
            failed += not is_right
            print(f"{'ok' if is_right else 'WRONG':6} {name}: {took:.1f} s, exit {ended}, ", end="")
            print(f"{len(left)} left. {line}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
