"""Installs a client in its own folder and drives it through the cases."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlx_magistral.cli.clients.settings import Server

from .cases import Outcome, script
from .recording import Recorder
from .scripted import ScriptedBackend

_INSTALL_S, _CASE_S, _ABORT_S = 1500, 240, 60
KEY = "check-key"


@dataclass(frozen=True)
class Place:
    """Where a client runs: its folder, and the server it talks to."""

    folder: Path
    url: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        """Nothing of this machine's own but the path and the language."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.home),
            "TMPDIR": str(self.folder / "tmp"),
            "TERM": "dumb",
            "NO_COLOR": "1",
            "DO_NOT_TRACK": "1",
            **more,
        }


@dataclass(frozen=True)
class Command:
    """What to run: the arguments, further environment, and text on stdin."""

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    stdin: str = ""


# From the place, the case and whether it goes on with the conversation before to a command.
MakeCommand = Callable[[Place, str, bool], Command]


@dataclass(frozen=True)
class Client:
    """A program: how it is installed, what prints its version, how it is asked."""

    name: str
    packages: tuple[str, ...]
    version: tuple[str, ...]
    ask: MakeCommand
    is_node: bool = False
    leaves_out: tuple[str, ...] = ()  # cases that it has no way to do
    has_own_turns: bool = False  # whether it does both turns of the second case by itself
    python: str = sys.executable  # of the environment it is installed into
    has_many_packages: bool = False  # so many that pip is half an hour choosing their versions
    prepare: Callable[[Place], None] = lambda place: None
    finish: Callable[[Place], None] = lambda place: None

    def install(self, folder: Path) -> str:
        """Into ``folder``; returns what went wrong, nothing where it is there."""
        for inner in ("home", "project", "tmp"):
            (folder / inner).mkdir(parents=True, exist_ok=True)
        if (folder / "installed").exists():
            return ""
        if self.is_node:
            # No package's own scripts are run: what a client needs of them, ``prepare`` does.
            npm = ["npm", "install", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix", "."]
            commands = [[*npm, *self.packages]]
        else:
            python = str(folder / "venv/bin/python")
            pip = [python, "-m", "pip", "install", "-q"]
            commands = [[self.python, "-m", "venv", str(folder / "venv")]]
            if self.has_many_packages:
                uv = [str(folder / "venv/bin/uv"), "pip", "install", "--python", python]
                commands += [[*pip, "uv"], [*uv, *self.packages]]
            else:
                commands.append([*pip, *self.packages])
        for command in commands:
            try:
                done = subprocess.run(
                    command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_S
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"{' '.join(command[:3])}: {error}"
            if done.returncode:
                return f"{' '.join(command[:3])} failed: {done.stderr.strip()[-400:]}"
        (folder / "installed").touch()
        return ""

    def installed_version(self, folder: Path) -> str:
        """The version of the first package; empty where it cannot be told."""
        if self.is_node:
            package = folder / "node_modules" / self.version[0] / "package.json"
            return str(json.loads(package.read_text())["version"]) if package.exists() else ""
        code = f"from importlib.metadata import version; print(version({self.version[0]!r}))"
        python = str(folder / "venv/bin/python")
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def program(self, folder: Path, name: str) -> str:
        """A command that the installation brought."""
        inner = "node_modules/.bin" if self.is_node else "venv/bin"
        return str(folder / inner / name)


def run_cases(
    client: Client,
    place: Place,
    backend: ScriptedBackend,
    recorder: Recorder,
    cases: tuple[str, ...],
) -> dict[str, Outcome]:
    """Every case in turn, each with what it printed and sent."""
    client.prepare(place)
    outcomes = {}
    try:
        for case in cases:
            if case in client.leaves_out:
                continue
            backend.script = script
            before = len(recorder.exchanges)
            output, problems = _run_case(client, place, backend, case)
            time.sleep(0.3)  # what a client sends while it leaves
            outcomes[case] = Outcome(case, output, recorder.exchanges[before:], problems)
    finally:
        client.finish(place)
    return outcomes


def _run_case(
    client: Client, place: Place, backend: ScriptedBackend, case: str
) -> tuple[str, list[str]]:
    if case == "abort":
        return _abort(client, place, backend)
    if case == "two":
        running = [_start(place, client.ask(place, "plain", False)) for _ in range(2)]
        ended = [_end(each) for each in running]
        return ended[0][0] if "four-4" in ended[1][0] else "", ended[0][1] + ended[1][1]
    output, problems = "", []
    if case == "second" and not client.has_own_turns:
        output, problems = _end(_start(place, client.ask(place, "plain", False)))
    said, more = _end(_start(place, client.ask(place, case, case == "second")))
    return output + said, problems + more


def _start(place: Place, command: Command) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        command.arguments,
        cwd=place.project,
        env=place.environment(command.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(command.stdin)
        process.stdin.close()
    except BrokenPipeError:
        pass
    process.stdin = None
    return process


def _end(process: "subprocess.Popen[str]") -> tuple[str, list[str]]:
    try:
        output, _ = process.communicate(timeout=_CASE_S)
    except subprocess.TimeoutExpired:
        _kill(process, signal.SIGKILL)
        output, _ = process.communicate()
        return output, [f"it was not done after {_CASE_S} s"]
    return output, [] if process.returncode == 0 else [f"it ended with {process.returncode}"]


def _abort(client: Client, place: Place, backend: ScriptedBackend) -> tuple[str, list[str]]:
    """Interrupt the client while a reply is on its way; the server has to give it up."""
    before = len(backend.tickets)
    process = _start(place, client.ask(place, "abort", False))
    deadline = time.monotonic() + _ABORT_S
    while time.monotonic() < deadline:
        slow = [each for each in backend.tickets[before:] if each.is_slow]
        if slow or process.poll() is not None:
            break
        time.sleep(0.1)
    time.sleep(1.0)
    _kill(process, signal.SIGINT)
    try:
        output, _ = process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        _kill(process, signal.SIGKILL)
        output, _ = process.communicate()
    if not slow:
        return output, [f"no reply was on its way: {output[-300:]!r}"]
    lost = [each for each in slow if not each.cancelled.wait(10)]
    return output, ["the server went on after the client had left"] if lost else []


def _kill(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def server_of(place: Place) -> Server:
    """What the settings that ``connect`` has are filled in with."""
    return Server(place.url, KEY, ScriptedBackend.model_name, ScriptedBackend.context_tokens)
