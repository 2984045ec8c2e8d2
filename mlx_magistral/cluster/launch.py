"""Starting the ranks: rank 0 with the terminal, the others without, and none left behind.

As mlx.launch does, with three differences: rank 0 has the terminal and standard input, followers
need no command line, since rank 0 tells them everything, and each process ends with the launcher,
even one that was killed. Imports no mlx, so that this process can always end the others.
"""

import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import mlx_magistral
from mlx_magistral.cluster.call import Call, Host
from mlx_magistral.cluster.hosts import Hosts, is_here
from mlx_magistral.errors import ClusterError

SSH = ("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
# How rank 0 ends that has lost its ring, after it has said so.
LOST = 75
# MLX's init waits for ever for a rank that has died meanwhile; it takes a second or two.
_JOIN_S = 30.0
# What rank 0 is given to say by itself why it ends, once a follower has ended.
_GRACE_S = 2.5
_STOP_S = 1.5
# And once it has let them go: Python ends slowly on a busy machine.
_LEAVE_S = 30.0
_LOOK_S = 0.1


class Ranks:
    """The processes of all ranks; use as a context manager, which ends what is left of them.

    ``program`` is what python runs as rank 0.
    """

    def __init__(self, hosts: Hosts, program: Sequence[str], server: int | None = None) -> None:
        self._hosts = hosts.hosts
        self._followers: list[subprocess.Popen[bytes]] = []
        self._last_words: dict[int, list[str]] = {}
        self._lifeline, self._end = os.pipe()
        self._status, status = os.pipe()
        os.set_blocking(self._status, False)
        self._said = ""
        self._joining_since: float | None = None
        token = secrets.token_hex(16)
        with _listen(self._hosts[0].address) as listener:
            port = listener.getsockname()[1]
            call = Call(
                self._hosts,
                hosts.backend,
                token,
                listener.fileno(),
                self._lifeline,
                status,
                server,
            )
            self._leader = _start_leader(call, program)
        os.close(status)
        os.close(self._lifeline)
        for rank, host in enumerate(self._hosts[1:], 1):
            self._followers.append(self._start_follower(rank, host, port, token))

    def __enter__(self) -> "Ranks":
        return self

    def __exit__(self, *details: object) -> None:
        self.end()

    @property
    def is_ready(self) -> bool:
        """Whether rank 0 has said that it serves."""
        return "ready" in self._said.split()

    def interrupt(self, number: int) -> None:
        """Hand a signal on to rank 0."""
        if self._leader.poll() is None:
            self._leader.send_signal(number)

    def poll(self) -> int | None:
        """Rank 0's exit code once it has ended, None before; to be asked again and again.

        Raises ClusterError where a follower has ended and rank 0 does not see it by itself.
        """
        code = self._leader.poll()
        if code is not None:
            return code
        # In this order: rank 0 says that it lets them go before they end.
        lost = self._lost_follower()
        self._hear()
        if self._joining_since and time.monotonic() - self._joining_since > _JOIN_S:
            raise ClusterError(
                f"The ranks did not find each other within {_JOIN_S:.0f} s: one hangs, or a "
                f"firewall is in the way. {_ADVICE}"
            )
        if lost is None:
            return None
        code = _wait(self._leader, self._grace())
        if code is not None:
            return code
        raise ClusterError(self._why(lost))

    def end(self) -> None:
        """End what still runs: asked first, then killed."""
        os.close(self._end)
        os.close(self._status)
        everyone = [*self._followers, self._leader]
        for process in everyone:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _STOP_S
        for process in everyone:
            if _wait(process, max(deadline - time.monotonic(), 0.01)) is None:
                process.kill()
                process.wait()
        for process in self._followers:
            assert process.stdin is not None
            process.stdin.close()

    def _hear(self) -> None:
        try:
            self._said += os.read(self._status, 4096).decode()
        except BlockingIOError:
            return
        is_joining = self._said.split()[-1:] == ["joining"]
        if not is_joining:
            self._joining_since = None
        elif self._joining_since is None:
            self._joining_since = time.monotonic()

    def _lost_follower(self) -> int | None:
        for rank, process in enumerate(self._followers, 1):
            if process.poll() is not None:
                return rank
        return None

    def _grace(self) -> float:
        """How long rank 0 is waited for once a follower has ended."""
        if "leaving" in self._said.split():
            return _LEAVE_S
        has_begun = self._joining_since is not None or "joined" in self._said
        return _GRACE_S if has_begun else _LOOK_S

    def _why(self, rank: int) -> str:
        words = " ".join(self._last_words[rank][-3:]).removeprefix("error: ").strip()
        if not words and "joined" in self._said:
            # Followers end without a word where they do not hear of rank 0.
            return f"{self._hosts[0].name} (rank 0) does not answer. The reply ended."
        ended = words or f"it ended with {self._followers[rank - 1].returncode}."
        return f"{self._hosts[rank].name} (rank {rank}): {ended} {_ADVICE}"

    def _start_follower(
        self, rank: int, host: Host, port: int, token: str
    ) -> subprocess.Popen[bytes]:
        leader = self._hosts[0].address
        arguments = [leader, str(port), str(rank), host.address]
        command = [sys.executable, "-P", "-m", "mlx_magistral.cluster.follow", *arguments]
        if not is_here(host.address):
            remote = "exec " + shlex.join(command)
            command = [*SSH, host.name, remote]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is rank 0's
            env=_environment(),
        )
        assert process.stdin is not None and process.stderr is not None
        # The token first; then nothing, until this end closes with this process.
        process.stdin.write(f"{token}\n".encode())
        process.stdin.flush()
        words = self._last_words[rank] = []

        def listen() -> None:
            assert process.stderr is not None
            with process.stderr as lines:
                for line in lines:
                    words.append(line.decode(errors="replace").strip())
                    del words[:-20]

        threading.Thread(target=listen, daemon=True).start()
        return process


def run(hosts: Hosts, program: Sequence[str]) -> int:
    """A program on all hosts; returns rank 0's exit code. Raises ClusterError."""
    interrupts = 0
    with _kept_terminal(), Ranks(hosts, program) as ranks:

        def on_interrupt(number: int, frame: object) -> None:
            # The terminal sends it to rank 0 too, which decides what it ends. The third is for us.
            nonlocal interrupts
            interrupts += 1
            if interrupts > 2:
                raise KeyboardInterrupt

        handlers = {
            signal.SIGINT: on_interrupt,
            signal.SIGTERM: lambda number, frame: ranks.interrupt(number),
        }
        before = {number: signal.signal(number, handlers[number]) for number in handlers}
        try:
            while (code := ranks.poll()) is None:
                time.sleep(_LOOK_S)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if code < 0 and -code not in handlers:
        # Killed, so that it could not say so itself.
        name = hosts.hosts[0].name
        raise ClusterError(f"{name} (rank 0) was ended by signal {-code}. The reply ended.")
    return shown_code(code)


def shown_code(code: int) -> int:
    """Rank 0's exit code as the command's own: a lost ring is a failure, a signal is 128 more."""
    if code == LOST:
        return 1
    return 128 - code if code < 0 else code


_ADVICE = "Mend that, and see: mlx-magistral cluster check FILE"


@contextmanager
def _kept_terminal() -> Iterator[None]:
    """The terminal as it was, whatever rank 0 had made of it when it was lost."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def _listen(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.bind((address, 0))
    except OSError as error:
        listener.close()
        raise ClusterError(f"Cannot listen on {address}: {error.strerror}.") from error
    listener.listen()
    return listener


def _start_leader(call: Call, program: Sequence[str]) -> subprocess.Popen[bytes]:
    kept = [call.listener, call.lifeline, call.status]
    if call.server is not None:
        kept.append(call.server)
    return subprocess.Popen(
        [sys.executable, *program],
        pass_fds=kept,
        env={**_environment(), **call.to_environment()},
    )


def _environment() -> dict[str, str]:
    """This one's, with this package first wherever it is."""
    root = str(Path(mlx_magistral.__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
