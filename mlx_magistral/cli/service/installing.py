"""Install, question and remove the service: files written, and the supervisor's commands run."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from mlx_magistral.cli.service.definition import Service
from mlx_magistral.cli.service.launchd import Launchd
from mlx_magistral.cli.service.systemd import Systemd
from mlx_magistral.errors import MagistralError, UsageError
from mlx_magistral.settings import config_file, write_text_atomically

Supervisor = Launchd | Systemd

_STOP_S, _POLL_S = 60.0, 0.2


def this_supervisor() -> Supervisor:
    """What runs services here; raises UsageError where it is neither of the two."""
    if sys.platform == "darwin":
        return Launchd(Path.home(), os.getuid())
    if shutil.which("systemctl") is not None:
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Systemd(Path(config), Path(state))
    raise UsageError(
        "There is neither launchd nor systemd here. Run `mlx-magistral serve` by what starts "
        "programs on this machine."
    )


def key_file() -> Path:
    """Where the service's key lies, readable by its user alone."""
    return config_file().parent / "service.key"


def installed() -> Service | None:
    """What was installed last; None where nothing is."""
    try:
        content = json.loads(_record().read_text("utf-8"))
        return Service(
            arguments=tuple(content["arguments"]),
            environment=tuple((name, value) for name, value in content["environment"]),
            folder=Path(content["folder"]),
            log=Path(content["log"]),
            host=content["host"],
            port=content["port"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def install(supervisor: Supervisor, service: Service, key: str | None) -> None:
    """Write the unit and start it; another one before it is stopped.

    Raises MagistralError with what the supervisor said; nothing stays installed then.
    """
    if installed() is not None or supervisor.unit.exists():
        _stop(supervisor)
    service.log.parent.mkdir(parents=True, exist_ok=True)
    if key is None:
        key_file().unlink(missing_ok=True)
    else:
        write_text_atomically(key_file(), key + "\n")
    write_text_atomically(supervisor.unit, supervisor.unit_text(service))
    record = {**asdict(service), "folder": str(service.folder), "log": str(service.log)}
    write_text_atomically(_record(), json.dumps(record, indent=1) + "\n")
    try:
        _run_all(supervisor.start_commands(), must_succeed=True)
    except MagistralError:
        uninstall(supervisor)
        raise


def uninstall(supervisor: Supervisor) -> None:
    """Stop it and delete what ``install`` wrote; its log stays."""
    _stop(supervisor)
    for path in (supervisor.unit, key_file(), _record()):
        path.unlink(missing_ok=True)
    _run_all(supervisor.forget_commands(), must_succeed=False)


def is_running(supervisor: Supervisor) -> bool:
    """Whether the supervisor says that it runs."""
    return supervisor.is_running(_run(supervisor.state_command()).stdout)


def _stop(supervisor: Supervisor) -> None:
    """Stop it and wait until it is gone: launchd unloads while replies still end."""
    _run_all(supervisor.stop_commands(), must_succeed=False)
    deadline = time.monotonic() + _STOP_S
    while _run(supervisor.state_command()).returncode == 0 and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _record() -> Path:
    return config_file().parent / "service.json"


def _run_all(commands: list[list[str]], *, must_succeed: bool) -> None:
    for command in commands:
        ended = _run(command)
        if must_succeed and ended.returncode:
            said = (ended.stderr or ended.stdout).strip().splitlines()
            reason = said[0] if said else f"it exited with {ended.returncode}"
            raise MagistralError(f"`{' '.join(command)}` failed: {reason}. Nothing was installed.")


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise MagistralError(f"There is no {command[0]} on this machine.") from error
