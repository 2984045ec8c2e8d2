"""The prompt of ``generate``: the argument, the files and what is piped in."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mlx_magistral.errors import UsageError

_STDIN = Path("-")


def whole_prompt(prompt: str | None, files: tuple[Path, ...]) -> str:
    """The argument, then each file under its name, then stdin, with a blank line between.

    A file ``-`` is stdin in that place, a terminal's too.
    """
    parts = [prompt or ""]
    for path in dict.fromkeys(files):
        if path == _STDIN:
            parts.append(_decoded(_stdin(), "stdin"))
        else:
            parts.append(f"{path.name}:\n{_decoded(path.read_bytes(), str(path))}")
    # A terminal or /dev/null gives nothing.
    if _STDIN not in files and not (sys.stdin is None or sys.stdin.closed or sys.stdin.isatty()):
        parts.append(_decoded(_stdin(), "stdin"))
    text = "\n\n".join(part for part in parts if part.strip())
    if not text:
        raise UsageError(
            'The prompt is empty. Give it as an argument, mlx-magistral generate "…", or on stdin.'
        )
    return text


def quoted_command(words: Sequence[str]) -> str:
    """``generate`` with these words as its prompt, as a shell takes it."""
    text = " ".join(words)
    is_plain = not any(sign in text for sign in '"$`\\!')
    quoted = f'"{text}"' if is_plain else shlex.quote(text)
    return f"mlx-magistral generate {quoted}"


def _stdin() -> bytes:
    return b"" if sys.stdin is None or sys.stdin.closed else sys.stdin.buffer.read()


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{source} is not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}. "
            "Convert it first, for example with iconv."
        ) from error
