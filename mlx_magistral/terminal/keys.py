"""quiet_keys: what is typed while a reply runs is not written into it."""

import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def quiet_keys(terminal: TextIO | None) -> Iterator[None]:
    """Keys that are pressed meanwhile do not show, ^C neither; Ctrl-C still acts.

    ``terminal`` is any stream of the terminal that the keys belong to; with None nothing changes.
    """
    if terminal is None:
        yield
        return
    descriptor = terminal.fileno()
    before = termios.tcgetattr(descriptor)
    quiet = termios.tcgetattr(descriptor)
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
