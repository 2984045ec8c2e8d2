"""The window is resized while a reply streams, in a terminal that wraps lines anew, as a Mac's."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = Path(__file__).parent / "streaming_answer.py"
Tmux = Callable[..., str]


@pytest.fixture
def tmux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tmux]:
    """A server of its own, which keeps in its history what a program clears at once."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'convert'}")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    socket = f"resize{os.getpid()}"
    settings = tmp_path / "tmux.conf"
    settings.write_text("set -gq scroll-on-clear on\n")

    def run(*arguments: str) -> str:
        command = ["tmux", "-u", "-L", socket, "-f", str(settings), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout

    yield run
    subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True)


def start(tmux: Tmux, columns: int, lines: int, changes: str) -> None:
    script = f"exec env -u COLUMNS -u LINES {sys.executable} {SCRIPT} resize{os.getpid()} {changes}"
    tmux("new-session", "-d", "-x", str(columns), "-y", str(lines), script)


def test_a_resized_window_loses_and_repeats_nothing(tmux: Tmux) -> None:
    start(tmux, 60, 20, "width")
    tmux("wait-for", "thinking")
    tmux("resize-window", "-x", "40", "-y", "20")
    tmux("wait-for", "half")
    tmux("resize-window", "-x", "70", "-y", "16")
    tmux("wait-for", "over")
    shown = tmux("capture-pane", "-p", "-J", "-S", "-200")
    tmux("wait-for", "-S", "read")
    assert "thoughts" not in shown
    found = shown.split()
    for word in ["question", "thought", "Title", *(f"word{n}" for n in range(1, 61)), "end."]:
        assert found.count(word) == 1, f"{word}:\n{shown}"


def test_a_lower_window_keeps_nothing_of_what_changes(tmux: Tmux) -> None:
    start(tmux, 80, 24, "height")
    tmux("wait-for", "thinking")
    tmux("resize-window", "-x", "80", "-y", "20")
    tmux("wait-for", "over")
    shown = tmux("capture-pane", "-p", "-S", "-")
    tmux("wait-for", "-S", "read")
    # What was above the lower window is out of reach: 4 lines of thoughts, no more.
    assert sum("thoughts" in line for line in shown.splitlines()) <= 4, shown
    assert shown.split().count("thought") == 1 and "The end." in shown and "Ctrl-C" not in shown
