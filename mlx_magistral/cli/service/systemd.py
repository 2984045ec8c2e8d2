"""A systemd user unit, on Linux: its text, and the commands that start and question it."""

from dataclasses import dataclass
from pathlib import Path

from mlx_magistral.cli.service.definition import Service

UNIT = "mlx-magistral.service"
# serve lets running replies end for 30 s.
_STOP_S = 45


@dataclass(frozen=True)
class Systemd:
    """The unit of one user; ``config_folder`` is $XDG_CONFIG_HOME."""

    config_folder: Path
    state_folder: Path

    name = "systemd user unit"

    @property
    def unit(self) -> Path:
        """Where the unit lies."""
        return self.config_folder / "systemd" / "user" / UNIT

    @property
    def log(self) -> Path:
        """Where a log would lie; systemd keeps what the server says in its journal."""
        return self.state_folder / "mlx-magistral" / "serve.log"

    def unit_text(self, service: Service) -> str:
        """The unit: run at login, again after a crash."""
        environment = [
            f"Environment={_quoted(f'{name}={value}')}" for name, value in service.environment
        ]
        lines = [
            "[Unit]",
            "Description=mlx-magistral serve",
            "",
            "[Service]",
            "Type=exec",
            f"ExecStart={' '.join(_argument(each) for each in service.arguments)}",
            *environment,
            f"WorkingDirectory={str(service.folder).replace('%', '%%')}",
            "Restart=on-failure",
            "RestartSec=5",
            f"TimeoutStopSec={_STOP_S}",
            "UMask=0077",
            "",
            "[Install]",
            "WantedBy=default.target",
        ]
        return "\n".join(lines) + "\n"

    def stop_commands(self) -> list[list[str]]:
        """Stop it, which is no error where none runs."""
        return [["systemctl", "--user", "disable", "--now", UNIT]]

    def start_commands(self) -> list[list[str]]:
        """Read the unit and start it, now and at every login."""
        return [
            ["systemctl", "--user", "daemon-reload"],
            ["systemctl", "--user", "enable", "--now", UNIT],
        ]

    def forget_commands(self) -> list[list[str]]:
        """What is due once the unit is deleted."""
        return [["systemctl", "--user", "daemon-reload"]]

    def state_command(self) -> list[str]:
        """Says whether it runs."""
        return ["systemctl", "--user", "is-active", UNIT]

    def is_running(self, said: str) -> bool:
        """What the state command's answer means."""
        return said.strip() in ("active", "activating", "reloading")

    def logs_command(self, lines: int, *, follows: bool) -> list[str]:
        """Show the end of the journal."""
        command = ["journalctl", "--user", "--unit", UNIT, "--lines", str(lines), "--no-pager"]
        return [*command, *(["--follow"] if follows else [])]

    @property
    def note(self) -> str:
        """What a user should know of it."""
        return (
            "It starts when you log in, and again after a crash. To keep it when you log out: "
            "loginctl enable-linger"
        )


def _argument(text: str) -> str:
    """A word of ExecStart, which also expands variables."""
    return _quoted(text).replace("$", "$$")


def _quoted(text: str) -> str:
    """A word with systemd's quotes and specifiers taken literally."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
