"""``generate`` as a real process: Ctrl-C, a reader that goes away, a terminal that closes."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = [sys.executable, "-m", "mlx_magistral", "generate", "hello", "--temperature", "0"]


def start(model: Path, *flags: str, **streams: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [*PROGRAM, "-m", str(model), *flags],
        stdin=subprocess.DEVNULL,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )


def first_output(process: "subprocess.Popen[bytes]") -> None:
    """Wait until the reply has begun, whichever stream it goes to."""
    assert process.stdout is not None
    assert process.stdout.read(1)


def test_ctrl_c_ends_with_130_and_the_text_so_far(endless_model: Path) -> None:
    process = start(endless_model, stderr=subprocess.STDOUT)
    first_output(process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output.endswith(b"\n")
    assert b"Traceback" not in output


def test_reader_that_goes_away_ends_it_quietly(endless_model: Path) -> None:
    with start(endless_model, "--think", "hide") as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(1)
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=60) == 1
        assert errors == b""


def test_terminal_that_closes_ends_it_quietly(endless_model: Path) -> None:
    controller, terminal = pty.openpty()
    process = start(endless_model, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    assert os.read(controller, 1)
    os.close(controller)
    assert process.wait(timeout=60) in (1, -signal.SIGHUP)


def test_first_ctrl_c_at_a_terminal_answers_and_the_second_ends(endless_model: Path) -> None:
    controller, terminal = pty.openpty()
    program = [*PROGRAM, "-m", str(endless_model), "--force-think", "--think-close", "CLOSING"]
    shown = b""
    with subprocess.Popen(
        program, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal
    ) as process:
        os.close(terminal)
        assert process.stdout is not None
        while len(shown) < 200:  # some thinking
            shown += os.read(controller, 1024)
        process.send_signal(signal.SIGINT)
        assert process.stdout.read(1), "the answer has begun"
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(timeout=60) == 130
    with contextlib.suppress(OSError):  # what Linux raises at the end of a terminal
        while piece := os.read(controller, 65536):
            shown += piece
    os.close(controller)
    assert b"CLOSING" in re.sub(rb"\x1b\[[0-9;]*m", b"", shown)
