"""Tab in the real shells: what a person sees who has installed what ``completion`` prints."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pseudo_terminal import Terminal

from mlx_magistral.chat.sessions import SessionStore

# Shells without anybody's settings, and what a stock one needs before the line that --help tells.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set show-all-if-ambiguous on'"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit && compinit -D"),
    "fish": (["fish", "--no-config", "-i"], ""),
}
LOAD = {
    "bash": 'eval "$(mlx-magistral completion bash)"',
    "zsh": 'eval "$(mlx-magistral completion zsh)"',
    "fish": "mlx-magistral completion fish | source",
}
Start = Callable[[str], Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A shell with the program under its name, the completion loaded and one session on file."""
    program = tmp_path / "programs" / "mlx-magistral"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom mlx_magistral.cli.main import main\nmain()\n")
    program.chmod(0o755)
    store = SessionStore(tmp_path / "data" / "sessions")
    store.create(question="?", model="nano", name="thesis-of-mine").close()
    shells: list[Terminal] = []

    def begin(shell: str) -> Terminal:
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed")
        command, before = SHELLS[shell]
        environment = {
            "HOME": str(tmp_path),
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "HF_HOME": str(tmp_path / "hub"),
            "PS1": "$ ",
            "XDG_CONFIG_HOME": str(tmp_path),
            "XDG_DATA_HOME": str(tmp_path),
        }
        terminal = Terminal(tmp_path, program=command, columns=100, lines=60, **environment)
        shells.append(terminal)
        terminal.type(f"{before}\r{LOAD[shell]}; echo it is lo''aded\r")
        terminal.wait("it is loaded")
        return terminal

    yield begin
    for terminal in shells:
        terminal.kill()


@pytest.mark.parametrize("shell", list(SHELLS))
def test_tab_completes_commands_options_models_and_sessions(start: Start, shell: str) -> None:
    terminal = start(shell)
    for typed, wanted in [
        ("mlx-magistral genera\t", "mlx-magistral generate"),
        ("mlx-magistral generate --think-b\t", "generate --think-budget"),
        ("mlx-magistral use na\t", "use nano"),
        ("mlx-magistral chat -m na\t", "chat -m nano"),
        ("mlx-magistral fit na\t", "fit nano"),
        ("mlx-magistral sessions rm the\t", "sessions rm thesis-of-mine"),
        ("mlx-magistral config set kv\t", "config set kv_bits"),
        ("mlx-magistral config set think sh\t", "set think short"),
        ("mlx-magistral connect claude\t", "connect claude-code"),
        ("mlx-magistral pu\t\t", "push"),
    ]:
        terminal.type(typed)
        terminal.wait(wanted)
        terminal.type("\x15")


@pytest.mark.parametrize("shell", list(SHELLS))
def test_the_script_says_how_to_install_it(shell: str) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "mlx_magistral", "completion", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    first = run(shell).partition("\n")[0]
    line = first.removeprefix("# To install, ").partition(":  ")[2]
    assert first.startswith("# To install, ") and line in run("--help")
