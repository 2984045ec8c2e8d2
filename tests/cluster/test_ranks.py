"""Real processes: a reply over two ranks, and what becomes of it when one of them is killed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_magistral.cluster.follower import find_same
from mlx_magistral.cluster.hello import difference, versions
from mlx_magistral.errors import ClusterError
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.memory.prefixes.fingerprint import weights_fingerprint
from mlx_magistral.model.checkpoint import open_checkpoint

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
    assert process.returncode == 1
    assert b"error: rank 1 here (rank 1) is gone" in errors and b"Traceback" not in errors
    assert not any(is_there(pid) for pid in started)


def total_memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def test_the_same_under_mlx_launch() -> None:
    launch = [str(Path(sys.executable).with_name("mlx.launch")), "-n", "2", "--"]
    program = str(Path(sys.executable).with_name("mlx-magistral"))
    result = subprocess.run(
        [*launch, program, "generate", *QUESTION],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout.split() == "The sum is $\\boxed{85}$.".split()


def test_a_batch_over_two_ranks_has_the_answers_of_one(tmp_path: Path) -> None:
    questions = tmp_path / "in.jsonl"
    sums = ("37 + 48", "12 + 5", "7 + 8")
    lines = [json.dumps({"prompt": f"What is {each}?", "temperature": 0}) for each in sums]
    questions.write_text("\n".join(lines))
    said = []
    for name, flags in (("one", []), ("two", ["--ranks", "2", "--split", "layers"])):
        batch = [sys.executable, "-m", "mlx_magistral", "batch", str(questions), "-m", "nano"]
        output = tmp_path / name
        subprocess.run([*batch, "-o", str(output), *flags], check=True, timeout=120)
        records = [json.loads(line) for line in output.read_text().splitlines()]
        found = {each["custom_id"]: each["response"]["body"]["choices"] for each in records}
        said.append(found)
    assert len(said[0]) == 3 and said[0] == said[1]


def test_cluster_check_ends_in_ready(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps([{"ssh": f"mac{n}", "ips": ["127.0.0.1"]} for n in (1, 2)]))
    check = [sys.executable, "-m", "mlx_magistral", "cluster", "check", str(hosts)]
    result = subprocess.run(
        [*check, "-m", "nano", "--split", "layers"], capture_output=True, text=True, timeout=120
    )
    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stderr
    assert lines[-1] == "ready" and "mac2 (rank 1)" in lines[1]
    assert any(line.startswith("plan of rank 1: weights") for line in lines)
    free = [float(re.findall(r"([\d.]+) GB free at the moment", line)[0]) for line in lines[:2]]
    assert all(0 < each < total_memory_gb() for each in free)


def test_cluster_check_names_the_host_that_ssh_does_not_reach(tmp_path: Path) -> None:
    table = [{"ssh": "mac1", "ips": ["127.0.0.1"]}, {"ssh": "mac2.invalid", "ips": ["192.0.2.77"]}]
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps(table))
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text("#!/bin/sh\necho 'no route' >&2\nexit 255\n")
    (programs / "ssh").chmod(0o755)
    result = subprocess.run(
        [sys.executable, "-m", "mlx_magistral", "cluster", "check", str(hosts), "-m", "nano"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: mac2.invalid cannot be reached: no route. Turn on")


def test_a_rank_with_another_model_is_named_before_anything_is_read(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(nano_folder())
    assert find_same("nano", weights_fingerprint(checkpoint, by_date=False)).config
    with pytest.raises(ClusterError, match="has another nano than rank 0"):
        find_same("nano", "0" * 64)
    with pytest.raises(ClusterError, match="cannot use the model .*missing"):
        find_same(str(tmp_path / "missing"), "")


def test_a_rank_of_another_version_is_named() -> None:
    own = versions()
    assert difference(own, own, "mac2") is None
    problem = difference(own, {**own, "mlx": "0.1"}, "mac2")
    assert problem is not None and problem.startswith("mac2 has mlx 0.1 and this one ")


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
