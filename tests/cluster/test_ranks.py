"""Real processes: a reply over two ranks, and what becomes of it when one of them is killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "mlx_magistral", "generate"]
QUESTION = ["-m", "nano", "--temperature", "0", "--no-reuse-prefixes", "What is 37 + 48?"]


def children(parent: int) -> dict[int, str]:
    """Processes that one has started, and their command lines."""
    table = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in table.splitlines()[1:]]
    return {int(row[0]): row[2] for row in rows if int(row[1]) == parent}


def is_there(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] not in ("", "Z")


def test_two_ranks_say_what_one_says() -> None:
    results = [
        subprocess.run([*PROGRAM, *flags, "--json", *QUESTION], capture_output=True, text=True)
        for flags in (["--ranks", "2"], [])
    ]
    one, other = (json.loads(result.stdout) for result in results)
    assert one["content"] == other["content"] == "The sum is $\\boxed{85}$."
    assert one["reasoning"] == other["reasoning"]


def test_a_rank_that_dies_ends_the_reply_by_name_and_leaves_no_process(endless_model: Path) -> None:
    command = [*PROGRAM, "-m", str(endless_model), "--ranks", "2", "hello"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        os.set_blocking(process.stderr.fileno(), True)
        assert process.stdout.read(1)
        started = children(process.pid)
        [follower] = [pid for pid, args in started.items() if "cluster.follow" in args]
        os.kill(follower, signal.SIGKILL)
        try:
            _, errors = process.communicate(timeout=30)
        finally:
            for pid in started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert process.returncode == 75
    assert b"error: rank 1 here (rank 1) is gone" in errors and b"Traceback" not in errors
    assert not any(is_there(pid) for pid in started)


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (["--ranks", "3"], "error: 3 ranks do not divide this model"),
        (["--ranks", "2", "--hosts", __file__], "error: --ranks is for this machine"),
        (["--hosts", __file__], "is no JSON"),
    ],
)
def test_what_cannot_be_is_one_line(flags: list[str], what: str) -> None:
    result = subprocess.run([*PROGRAM, *flags, *QUESTION], capture_output=True, text=True)
    assert result.returncode == 2 and what in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
