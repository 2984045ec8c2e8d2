"""A launchd agent, on a Mac: its property list, and the commands that load and question it."""

import plistlib
from dataclasses import dataclass
from pathlib import Path

from mlx_magistral.cli.service.definition import Service

LABEL = "local.mlx-magistral"
# serve lets running replies end for 30 s; launchd would kill it after 20.
_EXIT_S = 45


@dataclass(frozen=True)
class Launchd:
    """The agent of one user, known to launchd by ``user_id``."""

    home: Path
    user_id: int

    name = "launchd agent"

    @property
    def unit(self) -> Path:
        """Where the property list lies."""
        return self.home / "Library" / "LaunchAgents" / f"{LABEL}.plist"

    @property
    def log(self) -> Path:
        """What the server says; launchd keeps no journal."""
        return self.home / "Library" / "Logs" / "mlx-magistral" / "serve.log"

    def unit_text(self, service: Service) -> str:
        """The property list: run at login, again after a crash, as urgent as a program in front."""
        content = {
            "Label": LABEL,
            "ProgramArguments": list(service.arguments),
            "EnvironmentVariables": dict(service.environment),
            "WorkingDirectory": str(service.folder),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            # As a background process it would be kept from the fast cores.
            "ProcessType": "Interactive",
            "ExitTimeOut": _EXIT_S,
            "Umask": 0o077,
            "StandardOutPath": str(service.log),
            "StandardErrorPath": str(service.log),
        }
        return plistlib.dumps(content, sort_keys=False).decode("utf-8")

    def stop_commands(self) -> list[list[str]]:
        """Unload the agent, which is no error where none is loaded."""
        return [["launchctl", "bootout", self._target]]

    def start_commands(self) -> list[list[str]]:
        """Load and start it."""
        return [["launchctl", "bootstrap", f"gui/{self.user_id}", str(self.unit)]]

    def forget_commands(self) -> list[list[str]]:
        """What is due once the unit is deleted."""
        return []

    def state_command(self) -> list[str]:
        """Exits 0 where the agent is loaded."""
        return ["launchctl", "print", self._target]

    def is_running(self, said: str) -> bool:
        """What the state command's answer means."""
        return "state = running" in said

    def logs_command(self, lines: int, *, follows: bool) -> list[str]:
        """Show the end of the log."""
        return ["tail", "-n", str(lines), *(["-F"] if follows else []), str(self.log)]

    @property
    def note(self) -> str:
        """What a user should know of it."""
        return "It starts when you log in, and again after a crash."

    @property
    def _target(self) -> str:
        return f"gui/{self.user_id}/{LABEL}"
