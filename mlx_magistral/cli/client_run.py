"""Starts a client in a profile of its own, and a server for it where none runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import platformdirs

from mlx_magistral.cli.clients.settings import ClientSettings, Server
from mlx_magistral.errors import MagistralError, UsageError

PROFILES_VARIABLE = "MLX_MAGISTRAL_PROFILES"
# What a server says of itself is asked for in this time, and a model is loaded in that.
_ASK_S, _START_S, _STEP_S = 2.0, 600.0, 0.2


def profiles_folder() -> Path:
    """Where the profiles of started clients are: the environment's folder, else the platform's."""
    named = os.environ.get(PROFILES_VARIABLE)
    if named:
        return Path(named)
    return platformdirs.user_data_path("mlx-magistral") / "clients"


def context_of(url: str, key: str) -> int | None:
    """The context of the server at ``url`` in tokens; None where none answers.

    Raises MagistralError for one that wants another key.
    """
    request = Request(f"{url}/v1/models", headers={"authorization": f"Bearer {key}"})
    try:
        with urlopen(request, timeout=_ASK_S) as answer:
            # A server with adapters lists the model under each of its names.
            return int(json.load(answer)["data"][0]["max_model_len"])
    except HTTPError as error:
        if error.code == 401:
            raise MagistralError(
                f"The server at {url} wants another API key. Give its own as --api-key."
            ) from error
        raise MagistralError(f"What listens at {url} is no server of ours. Give --port.") from error
    except (URLError, TimeoutError, OSError):
        return None
    except (ValueError, LookupError, TypeError) as error:
        raise MagistralError(f"What listens at {url} is no server of ours. Give --port.") from error


def require_program(name: str, settings: ClientSettings) -> str:
    """The path of the client's program; raises MagistralError where it is not installed."""
    program = shutil.which(settings.command[0])
    if program is None:
        raise MagistralError(
            f"{settings.command[0]} is not installed, or not on the PATH. Install it, or use what "
            f"'mlx-magistral connect {name}' prints."
        )
    return program


def run_client(
    name: str, settings: ClientSettings, server: Server, arguments: Sequence[str]
) -> int:
    """Run the client in the foreground with its own profile; returns its exit code."""
    folder = profiles_folder() / name
    command = [server.fill(part, folder) for part in settings.command]
    program = require_program(name, settings)
    write_profile(settings, server, folder)
    environment = client_environment(settings, server, folder)
    # Ctrl-C is the client's to handle. Not ignored: it would be for the client too.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        done = subprocess.run([program, *command[1:], *arguments], env=environment, check=False)
    finally:
        signal.signal(signal.SIGINT, before)
    return done.returncode


def write_profile(settings: ClientSettings, server: Server, folder: Path) -> None:
    """The client's files, readable by nobody else: they may hold the key."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for place, template in settings.files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(server.fill(template, folder), "utf-8")
        path.chmod(0o600)


def client_environment(settings: ClientSettings, server: Server, folder: Path) -> dict[str, str]:
    """This process's environment with the client's settings."""
    kept = {name: value for name, value in os.environ.items() if name not in settings.unset}
    own = {name: server.fill(value, folder) for name, value in settings.environment.items()}
    return {**kept, **own}


@contextmanager
def own_server(url: str, key: str, flags: Sequence[str]) -> Iterator[int]:
    """A server of our own for as long as the client runs; gives its context in tokens."""
    log = profiles_folder() / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlx_magistral", "serve", *flags]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield _wait_for(process, url, key, log)
        finally:
            process.terminate()
            process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", url: str, key: str, log: Path) -> int:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise MagistralError(f"The server did not start: {_last_line(log)}")
        context = context_of(url, key)
        if context is not None:
            return context
        time.sleep(_STEP_S)
    raise UsageError(f"The server was not ready after {_START_S:.0f} s. Its output is in {log}.")


def _last_line(path: Path) -> str:
    lines = path.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "it said nothing."
