"""The three standard streams as a shell may leave them: closed, or on a full disk.

A closed one is given a place again before anything else is opened: the next file would get its
number, and what is written to stdout would end up in that file.
"""

import errno
import os
import sys

# A write that fails for where stdout leads, not for what is written.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO)


def fill_closed_streams() -> None:
    """Where they are closed, make stdin empty, stderr mute, and stdout fail when written to."""
    if sys.stdin is None:
        _take(0, os.O_RDONLY)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        # Not writable: a command that prints something then says that nobody gets it.
        _take(1, os.O_RDONLY)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        _take(2, os.O_WRONLY)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def stdout_problem(error: OSError) -> str | None:
    """What to tell of stdout that cannot be written to; None for an error of something else.

    An error of opening a file has a name; those of writing files become errors of ours where they
    are written.
    """
    if error.filename is not None or error.errno not in _UNWRITABLE:
        return None
    return f"stdout cannot be written: {error.strerror}. Send it to a file or a program that reads."


def drop_stdout() -> None:
    """Send what is left to be written nowhere, so that the end of the program fails no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _take(number: int, flags: int) -> None:
    opened = os.open(os.devnull, flags)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
