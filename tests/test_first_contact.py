"""What a newcomer meets on the wrong machine: one line that tells the next step, and exit code 1.

No Mac is needed: what the platform says of itself is put in its place.
"""

import ast
import errno
import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pseudo_terminal import Terminal

import mlx_magistral
from mlx_magistral import doctor
from mlx_magistral.doctor import import_problem, mlx_problem, platform_problem
from mlx_magistral.errors import HubError
from mlx_magistral.hub.errors import clear_hub_errors

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mlx_magistral"
NATIVE = "Darwin Kernel Version 24.6.0: root:xnu-11417.140.69~1/RELEASE_ARM64_T6000"
INTEL = "Darwin Kernel Version 22.6.0: root:xnu-8796.141.3~6/RELEASE_X86_64"


def be_mac(monkeypatch: pytest.MonkeyPatch, machine: str, macos: str, kernel: str = NATIVE) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "version", lambda: kernel)
    monkeypatch.setattr(platform, "mac_ver", lambda: (macos, ("", "", ""), machine))


@pytest.mark.parametrize(
    ("machine", "macos", "kernel", "said", "step"),
    [
        ("x86_64", "13.5", INTEL, "Intel processor", "Apple silicon"),
        ("x86_64", "15.6", NATIVE, "under Rosetta", "make a new virtual environment"),
        ("arm64", "13.6.1", NATIVE, "macOS 13.6.1", "Update macOS"),
    ],
)
def test_a_mac_that_mlx_cannot_use_is_named(
    monkeypatch: pytest.MonkeyPatch, machine: str, macos: str, kernel: str, said: str, step: str
) -> None:
    be_mac(monkeypatch, machine, macos, kernel)
    problem = platform_problem()
    assert problem is not None and said in problem and step in problem
    assert import_problem(ImportError("No module named 'mlx'")) == problem
    system = next(check for check in doctor.run_checks() if check.name == "system")
    assert (system.state, system.advice) == (doctor.FAIL, problem)


def test_a_mac_that_fits_has_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    be_mac(monkeypatch, "arm64", "15.6")
    assert platform_problem() is None


@pytest.fixture
def broken_mlx(tmp_path: Path) -> dict[str, str]:
    """An environment whose mlx is there and cannot be loaded, as with a wheel of another system."""
    package = tmp_path / "mlx"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "core.py").write_text(
        "raise ImportError('dlopen(core.so): Library not loaded: libmlx.dylib\\n  Reason: tried')\n"
    )
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}:{ROOT / 'convert'}"}


@pytest.mark.parametrize(
    "command",
    [["generate", "x"], ["show", "nano"], ["fit"], ["pull"], ["bench"], ["cache", "list"]],
    ids=" ".join,
)
def test_mlx_that_cannot_be_loaded_is_one_line(
    broken_mlx: dict[str, str], command: list[str]
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mlx_magistral", *command],
        env={**os.environ, **broken_mlx, "MLX_MAGISTRAL_MODEL": "nano"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Library not loaded" in result.stderr
    assert "mlx-magistral doctor" in result.stderr and "-m pip install" in result.stderr


def test_doctor_goes_on_without_mlx(broken_mlx: dict[str, str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mlx_magistral", "doctor"],
        env={**os.environ, **broken_mlx},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1 and result.stderr == ""
    assert "fail  MLX: dlopen(core.so)" in result.stdout
    assert "\n      Run: pip install -U mlx\n" in result.stdout


def test_chat_says_it_and_goes_on(tmp_path: Path, broken_mlx: dict[str, str]) -> None:
    terminal = Terminal(tmp_path, "-m", "nano", columns=100, **broken_mlx)
    terminal.wait_for_prompt()
    terminal.type("hello\r")
    terminal.wait("error: A package cannot be loaded: dlopen(core.so)")
    terminal.wait_for_prompt()
    terminal.type("\x04")
    assert terminal.end() == 0


def test_only_what_mlx_raised_is_called_so() -> None:
    said = mlx_problem(RuntimeError("[metal::malloc] Attempting to allocate 53 GB.\nmore"))
    assert said is not None and "Attempting to allocate 53 GB. Run" in said and "fit" in said
    assert mlx_problem(RuntimeError("dictionary changed size during iteration")) is None
    assert mlx_problem(RecursionError("[deep]")) is None


def test_an_old_python_is_told_which_one_it_needs() -> None:
    """The file that says so can be read by those it speaks to."""
    ast.parse((PACKAGE / "__init__.py").read_text(), feature_version=(3, 7))
    code = "import sys; sys.version_info = (3, 9, 6, 'final', 0); import mlx_magistral"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "needs Python 3.11 or newer" in result.stderr and "is 3.9." in result.stderr
    assert "new virtual environment" in result.stderr


def test_every_place_names_the_same_oldest_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    oldest = ".".join(map(str, mlx_magistral.OLDEST_PYTHON))
    assert project["project"]["requires-python"] == f">={oldest}"
    assert project["tool"]["mypy"]["python_version"] == oldest
    assert project["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert f"Python {oldest} or newer" in (ROOT / "docs" / "quickstart.md").read_text()


@pytest.mark.parametrize(
    ("code", "step"),
    [
        (errno.ENOSPC, "set HF_HOME to a larger disk"),
        (errno.EACCES, "the right to write"),
        (errno.EROFS, "HF_HOME"),
        (errno.ECONNRESET, "Check the network"),
    ],
)
def test_a_disk_that_fails_is_not_called_the_network(code: int, step: str) -> None:
    with pytest.raises(HubError, match=step), clear_hub_errors("someone/model"):
        raise OSError(code, os.strerror(code))
