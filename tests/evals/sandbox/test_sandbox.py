"""Programs that try to get out, to take everything or to stay: none does, in any fence there is."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlx_magistral.errors import SandboxError
from mlx_magistral.evals.sandbox import fences, sandbox
from mlx_magistral.evals.sandbox.limits import Limits
from mlx_magistral.evals.sandbox.sandbox import Sandbox, leak, make_sandbox, unsafe_sandbox
from mlx_magistral.evals.sandbox.supervise import Ending, Ran

LIMITS = Limits(seconds=5.0, memory_bytes=256 << 20)
# A process that does nothing for a minute; a mark is added to find it by.
SLEEPER = "[sys.executable, '-I', '-S', '-c', 'import time; time.sleep(60)']"
LINUX = [fences.namespaces, fences.bubblewrap]


@pytest.fixture(scope="module", params=LINUX, ids=lambda make: make.__name__)
def box(request: pytest.FixtureRequest) -> Sandbox:
    made = Sandbox(request.param(), LIMITS)
    problem = leak(made)
    if problem is not None and problem.startswith("it "):
        pytest.skip(f"{made.fence.name} cannot be made on this machine: {problem}")
    assert problem is None
    return made


def short(box: Sandbox, seconds: float = 1.0) -> Sandbox:
    return Sandbox(box.fence, replace(box.limits, seconds=seconds))


def processes(mark: str) -> list[str]:
    """Command lines of the machine that hold the mark."""
    found = subprocess.run(["ps", "-axwwo", "args="], capture_output=True, text=True, check=True)
    return [line for line in found.stdout.splitlines() if mark in line and "pytest" not in line]


def assert_gone(mark: str) -> None:
    """The kernel takes a moment to end a namespace; nothing tells when it has."""
    deadline = time.monotonic() + 10
    while processes(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not processes(mark)


def lines(ran: Ran) -> list[str]:
    return ran.stdout.decode().split("\n")


def test_one_fence_at_least_holds_here() -> None:
    if sys.platform == "linux":
        assert make_sandbox().fence.is_real


def test_a_program_reads_prints_and_ends(box: Sandbox) -> None:
    ran = box.run("a, b = map(int, input().split())\nprint(a + b)", "37 48\n")
    assert (ran.ending, ran.code, ran.stdout) == (Ending.EXITED, 0, b"85\n")
    large = "x" * 3_000_000
    assert box.run("import sys\nprint(len(sys.stdin.read()))", large).stdout == b"3000000\n"
    assert box.run("print('é', flush=True)\nraise SystemExit(3)", "").code == 3


def test_a_function_is_called_and_its_prints_are_not_its_result(box: Sandbox) -> None:
    program = """
class Solution:
    def add(self, a: List[int], b):
        print('noise')
        return (sum(a), b)
"""
    assert json.loads(box.run(program, '[1, 2]\n"x"', "add").stdout) == [3, "x"]
    plain = "def f(x):\n  return Counter(x).most_common(1)[0][1] + len(deque([1]))"
    assert box.run(plain, '"aab"', "f").stdout == b"3\n"
    missing = box.run("x = 1", "1", "f")
    assert missing.code == 1 and b"AttributeError" in missing.stderr


def test_a_main_guard_runs_threads_start_and_builtins_are_themselves(box: Sandbox) -> None:
    program = """
import threading
def main():
    print(pow(2, 10, 1000), max([1]), compile.__module__, datetime.datetime.min.year, __name__)
if __name__ == "__main__":
    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
"""
    assert box.run(program, "").stdout == b"24 1 builtins 1 __main__\n"


@pytest.mark.parametrize("program", ["while True: pass", "import time; time.sleep(60)"])
def test_a_loop_and_a_sleep_end_in_time(box: Sandbox, program: str) -> None:
    started = time.monotonic()
    assert short(box).run(program, "").ending is Ending.TIME
    assert time.monotonic() - started < 10


def test_endless_output_is_cut(box: Sandbox) -> None:
    few = Sandbox(box.fence, replace(box.limits, output_bytes=100_000))
    ran = few.run("while True: print('x' * 1000)", "")
    assert ran.ending is Ending.OUTPUT and len(ran.stdout) < 300_000
    noisy = few.run(
        "import sys\nfor _ in range(20000): print('y' * 100, file=sys.stderr)\nprint(1)", ""
    )
    assert (noisy.ending, noisy.stdout) == (Ending.EXITED, b"1\n") and len(noisy.stderr) <= 4096


def test_memory_is_bounded_for_one_and_for_all_together(box: Sandbox) -> None:
    ran = box.run("x = bytearray(2 << 30)", "")
    assert ran.code == 1 and b"MemoryError" in ran.stderr
    program = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        x = bytearray(b"x") * (100 << 20)
        time.sleep(30)
time.sleep(30)
"""
    assert box.run(program, "").ending is Ending.MEMORY


def test_a_fork_bomb_ends_with_its_program(box: Sandbox) -> None:
    mark = f"bomb{time.monotonic_ns()}"
    program = f"""
import os, sys
made = 0
while True:
    try:
        if os.fork() == 0:
            os.execv(sys.executable, {SLEEPER} + ["{mark}"])
        made += 1
    except OSError:
        print(made, flush=True)
        while True: pass
"""
    ran = short(box, 3.0).run(program, "")
    assert ran.ending in (Ending.TIME, Ending.MEMORY)
    # Others of that user count too, and some of those may have ended meanwhile.
    assert int(lines(ran)[0] or 0) < 2 * box.limits.processes
    assert_gone(mark)


def test_a_daemon_does_not_outlive_its_program(box: Sandbox) -> None:
    mark = f"daemon{time.monotonic_ns()}"
    program = f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        os.execv(sys.executable, {SLEEPER} + ["{mark}"])
    os._exit(0)
print("done")
"""
    ran = box.run(program, "")
    assert (ran.ending, ran.stdout) == (Ending.EXITED, b"done\n")
    assert_gone(mark)


def test_nothing_of_ours_can_be_read(box: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret")
    paths = [
        str(secret),
        str(Path.home() / ".ssh"),
        "/etc/passwd",
        "/etc/shadow",
        "/proc/1/environ",
    ]
    paths += ["/proc/self/mountinfo", "/sys/kernel", "/root/.bash_history", "/dev/sda", "/dev/mem"]
    paths += [str(Path(__file__)), "/proc/self/fd", "/var", "/run", "/home"]
    program = f"""
import os
for path in {paths!r}:
    try:
        print(path, len(os.listdir(path)) if os.path.isdir(path) else len(open(path, "rb").read(9)))
    except OSError:
        pass
print(sorted(os.environ))
"""
    ran = box.run(program, "")
    assert lines(ran)[:-1] == [lines(ran)[-2]], ran
    shown = set(json.loads(lines(ran)[-2].replace("'", '"')))
    assert shown <= {"LANG", "LC_CTYPE", "PATH", "PYTHONHASHSEED", "PWD"}


def test_nothing_can_be_written_but_in_its_own_folder(box: Sandbox, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    places = [str(tmp_path / "out"), "/tmp/out", "/out", "/usr/out", "/etc/out", "/dev/out"]
    places += [os.path.join(sys.base_prefix, "out"), str(Path.home() / "out")]
    program = f"""
for path in {places!r}:
    try:
        open(path, "w").write("x")
        print("wrote", path)
    except OSError:
        pass
with open("notes.txt", "w") as stream:
    stream.write("mine")
print(open("notes.txt").read())
"""
    assert box.run(program, "").stdout == b"mine\n"
    assert box.run("import os; print(os.listdir('.'))", "").stdout == b"[]\n"
    assert list(tmp_path.iterdir()) == []


def test_its_own_folder_is_small(box: Sandbox) -> None:
    program = """
import os
written = 0
try:
    for number in range(100):
        with open(str(number), "wb") as stream:
            for _ in range(15):
                written += stream.write(bytes(1 << 20))
except OSError as error:
    print(written >> 20, error.errno)
"""
    megabytes, number = map(int, box.run(program, "").stdout.split())
    assert megabytes <= box.limits.folder_bytes >> 20 and number == 28
    one = box.run("open('a', 'wb').write(bytes(64 << 20))", "")
    assert one.code != 0


@pytest.fixture
def listening() -> Iterator[tuple[int, list[str]]]:
    """A port of ours, and who came."""
    came: list[str] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def accept() -> None:
            try:
                while True:
                    server.accept()[0].close()
                    came.append("somebody")
            except OSError:
                pass

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_no_socket_leads_anywhere(box: Sandbox, listening: tuple[int, list[str]]) -> None:
    port, came = listening
    program = f"""
import socket
for target in (("127.0.0.1", {port}), ("::1", {port}), ("192.0.2.1", 80)):
    try:
        socket.create_connection(target, 1)
        print("connected")
    except OSError:
        pass
try:
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram.sendto(b"x", ("192.0.2.1", 53))
    print("sent")
except OSError:
    pass
"""
    assert box.run(program, "").stdout == b""
    assert came == []


def test_no_way_out_through_the_kernel(box: Sandbox) -> None:
    """No rights, no namespaces of its own, nobody's user, and our processes out of sight."""
    program = f"""
import ctypes, os
libc = ctypes.CDLL(None)
print(libc.mount(b"none", b"/work", b"tmpfs", 0, None), libc.unshare(0x20000), os.getuid())
try:
    os.kill({os.getpid()}, 0)
    print("seen")
except OSError:
    pass
try:
    os.setuid(0)
    print("root")
except OSError:
    pass
print(libc.chroot(b"/work"), sorted(os.listdir("/proc")) if os.path.isdir("/proc") else [])
"""
    assert box.run(program, "").stdout.decode().split("\n")[:2] == ["-1 -1 65534", "-1 []"]


def test_no_user_namespace_can_be_made_inside() -> None:
    """Bubblewrap leaves that open, and what can be done in one is fenced in with the rest."""
    box = Sandbox(fences.namespaces(), LIMITS)
    if leak(box) is not None:
        pytest.skip("user namespaces cannot be made on this machine")
    program = "import ctypes; print(ctypes.CDLL(None).unshare(0x10000000))"
    assert box.run(program, "").stdout == b"-1\n"


def test_it_dies_with_whoever_started_it(box: Sandbox) -> None:
    mark = f"orphan{time.monotonic_ns()}"
    inside = f"import os, sys; os.execv(sys.executable, {SLEEPER} + [{mark!r}])"
    starter = (
        "from mlx_magistral.evals.sandbox import fences, sandbox\n"
        f"fence = fences.{box.fence.wrap.__qualname__.split('.')[0]}()\n"
        f"sandbox.Sandbox(fence, sandbox.Limits(seconds=60)).run({inside!r}, '')"
    )
    with subprocess.Popen([sys.executable, "-c", starter]) as process:
        deadline = time.monotonic() + 20
        while not any("execv" not in line for line in processes(mark)):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)  # Nothing tells of it: what is looked for is a process.
        process.kill()
    assert_gone(mark)


def test_limits_alone_are_not_taken_for_a_sandbox(tmp_path: Path) -> None:
    problem = leak(unsafe_sandbox(LIMITS))
    assert problem is not None
    assert "reads" in problem and "reaches the network" in problem and "sees our" in problem
    assert unsafe_sandbox(LIMITS).run("print(1)", "").stdout == b"1\n"


def test_without_a_fence_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> fences.Fence:
        return fences.Fence("absent", lambda command, limits: ["/no/such/program"])

    monkeypatch.setitem(sandbox._FENCES, sys.platform, (fences.unfenced, absent))
    with pytest.raises(SandboxError) as raised:
        make_sandbox(LIMITS)
    message = str(raised.value)
    assert "no sandbox: a program in it reads" in message
    assert "absent: it is not here (No such file or directory)" in message
    assert "--unsafe-no-sandbox" in message


def test_an_interpreter_that_is_the_home_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", os.path.join(sys.base_prefix, "lib"))
    assert fences.shown_paths() == ([], {})


def test_a_mac_s_profile_allows_no_network_no_process_and_no_file_to_be_written() -> None:
    profile = fences.mac_profile()
    assert profile.startswith("(version 1)\n(deny default)\n")
    allowed = [line for line in profile.splitlines() if line.startswith("(allow")]
    assert not any(word in line for line in allowed for word in ("network", "fork", "mach", "ipc"))
    writes = [line for line in allowed if "write" in line]
    assert writes == ['(allow file-write-data (literal "/dev/null"))']
    assert str(Path.home()) not in {part.strip('"()') for part in profile.split()}
    assert profile.count("(") == profile.count(")")
