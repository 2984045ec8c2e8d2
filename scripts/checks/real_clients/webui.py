"""Open WebUI: a server of its own in front of ours, started once for all cases."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from mlx_magistral.cli.clients import CLIENTS

from .cases import PROMPTS
from .running import Client, Command, Place, server_of

_NAME = "open-webui"
_START_S = 400
# What it would fetch from elsewhere at its start, it does without.
_ALONE = {
    "WEBUI_AUTH": "False",
    "OFFLINE_MODE": "True",
    "HF_HUB_OFFLINE": "1",
    "RAG_EMBEDDING_ENGINE": "openai",
    "ENABLE_VERSION_UPDATE_CHECK": "False",
    "ANONYMIZED_TELEMETRY": "False",
    "SCARF_NO_ANALYTICS": "True",
    "WEBUI_SECRET_KEY": "check",
}


def _start(place: Place) -> None:
    settings, server, profile = CLIENTS[_NAME], server_of(place), place.folder / "profile"
    profile.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {key: server.fill(value, profile) for key, value in settings.environment.items()}
    program, *arguments = settings.command
    arguments[arguments.index("--port") + 1] = port
    with (place.folder / "log").open("w") as log:
        process = subprocess.Popen(
            [str(place.folder / "venv/bin" / program), *arguments, "--host", "127.0.0.1"],
            cwd=place.project,
            env=place.environment({**own, **_ALONE}),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _state(place).write_text(json.dumps({"pid": process.pid, "url": f"http://127.0.0.1:{port}"}))
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (URLError, TimeoutError, OSError):
            time.sleep(1.0)


def _stop(place: Place) -> None:
    try:
        os.killpg(json.loads(_state(place).read_text())["pid"], signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        pass


def _state(place: Place) -> Path:
    return place.folder / "running.json"


def _ask(place: Place, case: str, goes_on: bool) -> Command:
    python = str(place.folder / "venv/bin/python")
    driver = str(Path(__file__).parent / "drivers/open_webui.py")
    environment = {
        "CHECK_URL": place.url,
        "CHECK_KEY": "",
        "CHECK_WEBUI": json.loads(_state(place).read_text())["url"],
        "CHECK_PROMPTS": json.dumps({**PROMPTS, "two": PROMPTS["plain"]}),
    }
    return Command([python, driver, case], environment)


# Its tools are called from a session of its page alone.
WEBUI = Client(
    _NAME,
    (_NAME,),
    (_NAME,),
    _ask,
    leaves_out=("tool", "error"),
    has_own_turns=True,
    python="python3.12",
    has_many_packages=True,
    prepare=_start,
    finish=_stop,
)
