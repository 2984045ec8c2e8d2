"""``service``: units byte for byte, keys in no argument, commands before a scripted supervisor."""

import json
import os
import plistlib
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner, Result

from mlx_magistral.cli.main import main
from mlx_magistral.cli.service import installing
from mlx_magistral.cli.service.definition import Service, make_service
from mlx_magistral.cli.service.launchd import Launchd
from mlx_magistral.cli.service.systemd import Systemd
from mlx_magistral.errors import HubError, MagistralError, UsageError
from mlx_magistral.hub.resolve import nano_folder

SERVICE = Service(
    arguments=("/opt/py/bin/python", "-m", "mlx_magistral", "serve", '/m/a 100% $m "x" \\\''),
    environment=(("HF_HOME", "/disk/50% hub"),),
    folder=Path("/Users/anna"),
    log=Path("/Users/anna/Library/Logs/mlx-magistral/serve.log"),
    host="127.0.0.1",
    port=8080,
)

PLIST = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>local.mlx-magistral</string>
	<key>ProgramArguments</key>
	<array>
		<string>/opt/py/bin/python</string>
		<string>-m</string>
		<string>mlx_magistral</string>
		<string>serve</string>
		<string>/m/a 100% $m "x" \\'</string>
	</array>
	<key>EnvironmentVariables</key>
	<dict>
		<key>HF_HOME</key>
		<string>/disk/50% hub</string>
	</dict>
	<key>WorkingDirectory</key>
	<string>/Users/anna</string>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<dict>
		<key>SuccessfulExit</key>
		<false/>
	</dict>
	<key>ProcessType</key>
	<string>Interactive</string>
	<key>ExitTimeOut</key>
	<integer>45</integer>
	<key>Umask</key>
	<integer>63</integer>
	<key>StandardOutPath</key>
	<string>/Users/anna/Library/Logs/mlx-magistral/serve.log</string>
	<key>StandardErrorPath</key>
	<string>/Users/anna/Library/Logs/mlx-magistral/serve.log</string>
</dict>
</plist>
"""  # noqa: E501

UNIT = r"""[Unit]
Description=mlx-magistral serve

[Service]
Type=exec
ExecStart="/opt/py/bin/python" "-m" "mlx_magistral" "serve" "/m/a 100%% $$m \"x\" \\'"
Environment="HF_HOME=/disk/50%% hub"
WorkingDirectory=/Users/anna
Restart=on-failure
RestartSec=5
TimeoutStopSec=45
UMask=0077

[Install]
WantedBy=default.target
"""


def test_units_are_these_bytes(tmp_path: Path) -> None:
    assert Launchd(tmp_path, 501).unit_text(SERVICE) == PLIST
    assert Systemd(tmp_path, tmp_path).unit_text(SERVICE) == UNIT
    assert plistlib.loads(PLIST.encode())["ProgramArguments"] == list(SERVICE.arguments)


def test_systemd_itself_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    service = Service((sys.executable, 'a 100% $m "x" \\\''), (), tmp_path, tmp_path, "::1", 8080)
    unit = tmp_path / "mlx-magistral.service"
    unit.write_text(Systemd(tmp_path, tmp_path).unit_text(service))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert "mlx-magistral.service" not in checked.stderr, checked.stderr


def make(*given: str, key: Path | None = None) -> Service:
    return make_service([*given], Path("/log"), key)


def test_paths_are_whole_and_only_what_was_typed_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(nano_folder(), tmp_path / "model")
    (tmp_path / "tekken.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", "hub")
    flags = ["--no-reuse-prefixes", "--allow-host", "a.b", "--allow-host", "c.d"]
    made = make("model", *flags, "--tokenizer", "tekken.json", "--draft", "model", "--port", "99")
    assert made.arguments == (
        *(sys.executable, "-m", "mlx_magistral", "serve", str(tmp_path / "model")),
        *("--port", "99", "--allow-host", "a.b", "--allow-host", "c.d"),
        *("--draft", str(tmp_path / "model"), "--tokenizer", str(tmp_path / "tekken.json")),
        "--no-reuse-prefixes",
    )
    assert dict(made.environment)["HF_HOME"] == str(tmp_path / "hub")
    assert made.url == "http://127.0.0.1:99"


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (["nano", "--open"], UsageError, "a service has none"),
        (["nano", "--api-key", "secret"], UsageError, "MLX_MAGISTRAL_API_KEY"),
        (["nano", "--host", "0.0.0.0"], UsageError, "is open to others"),
        (["nano", "--port", "0"], UsageError, "another port at each start"),
        (["some/model"], HubError, "is not on this disk"),
    ],
)
def test_what_a_service_cannot_have_is_refused(
    given: list[str], error: type[MagistralError], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        make(*given)


@pytest.fixture
def supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """launchctl, systemctl and journalctl that note what they are asked; returns their notes."""
    programs = tmp_path / "programs"
    programs.mkdir()
    notes = tmp_path / "notes"
    script = (
        f'#!/bin/sh\necho "$(basename $0) $*" >> {notes}\n'
        f"[ -f {tmp_path}/refuses ] && {{ echo 'no bus' >&2; exit 1; }}\n"
        'case "$*" in *bootstrap*|*enable*) touch ' + f"{tmp_path}/runs;;\n"
        "*bootout*|*disable*) rm -f " + f"{tmp_path}/runs;;\n"
        f"*print*|*is-active*) [ -f {tmp_path}/runs ] || exit 3; "
        "case $0 in *launchctl) echo 'state = running';; *) echo active;; esac;; esac\n"
    )
    for name in ("launchctl", "systemctl", "journalctl", "tail"):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", request.param)
    yield notes


both = pytest.mark.parametrize("supervisor", ["darwin", "linux"], indirect=True)


def run(*arguments: str, code: int = 0, **environment: str) -> Result:
    result = CliRunner().invoke(main, ["service", *arguments], env=environment)
    assert result.exit_code == code, result.output
    return result


@both
def test_install_status_logs_and_uninstall(supervisor: Path, tmp_path: Path) -> None:
    run("status", code=1)
    run("logs", code=1)
    run("install", "nano", "--port", "9", MLX_MAGISTRAL_API_KEY="s3cret")
    unit = installing.this_supervisor().unit
    key = installing.key_file()
    assert key.read_text() == "s3cret\n" and stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "s3cret" not in unit.read_text() and str(key) in unit.read_text()
    assert "s3cret" not in supervisor.read_text()
    shown = json.loads(run("status", "--json", code=1).stdout)
    assert (shown["is_installed"], shown["is_running"], shown["answers"]) == (True, True, False)
    run("logs", "--lines", "7", "--follow")
    assert " 7 " in supervisor.read_text().splitlines()[-1]
    # Again, without a key: the first is stopped before the second starts, and its key is gone.
    run("install", "nano", "--port", "9", MLX_MAGISTRAL_API_KEY="")
    assert not key.exists() and "--api-key-file" not in unit.read_text()
    run("uninstall")
    assert not unit.exists() and not (tmp_path / "runs").exists()
    run("uninstall", code=1)


@both
def test_a_dry_run_changes_nothing(supervisor: Path) -> None:
    shown = run("install", "nano", "--dry-run", MLX_MAGISTRAL_API_KEY="s3cret").stdout
    assert "mlx_magistral" in shown and "$ " in shown and "s3cret" not in shown
    run("uninstall", "--dry-run")
    assert not supervisor.exists() and installing.installed() is None
    assert not installing.this_supervisor().unit.exists()


@both
def test_a_supervisor_that_refuses_leaves_nothing_installed(
    supervisor: Path, tmp_path: Path
) -> None:
    (tmp_path / "refuses").touch()
    said = run("install", "nano", code=1).stderr
    assert "no bus. Nothing was installed." in said and said.count("\n") == 1
    assert installing.installed() is None and not installing.this_supervisor().unit.exists()


def test_what_a_unit_runs_answers_and_asks_for_the_key(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    service = make("nano", "--port", str(port), key=key)
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        service.arguments,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'convert'}"},
        stdout=subprocess.DEVNULL,
    )
    try:
        assert get(f"{service.url}/health", deadline_s=60) == 200
        models = f"{service.url}/v1/models"
        assert get(models) == 401
        assert get(models, key="s3cret") == 200
    finally:
        child.terminate()
        # The supervisor must not take a stop for a crash.
        assert child.wait(60) == 0


def get(url: str, *, key: str | None = None, deadline_s: float = 0.0) -> int:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            with urlopen(Request(url, headers=headers), timeout=10) as response:
                return int(response.status)
        except HTTPError as error:
            return error.code
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
