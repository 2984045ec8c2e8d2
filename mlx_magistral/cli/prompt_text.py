"""The prompt of ``generate``: the argument, the files and what is piped in."""

import sys
from pathlib import Path

from mlx_magistral.errors import UsageError


def whole_prompt(prompt: str | None, files: tuple[Path, ...]) -> str:
    """The argument, then each file under its name, then stdin, with a blank line between."""
    parts = [prompt or ""]
    parts += [f"{path.name}:\n{_decoded(path.read_bytes(), str(path))}" for path in files]
    parts.append(_piped_stdin())
    text = "\n\n".join(part for part in parts if part.strip())
    if not text:
        raise UsageError(
            'The prompt is empty. Give it as an argument, mlx-magistral generate "…", or on stdin.'
        )
    return text


def _piped_stdin() -> str:
    """What is piped or redirected into stdin; a terminal or /dev/null gives nothing."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    return _decoded(sys.stdin.buffer.read(), "stdin")


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{source} is not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}. "
            "Convert it first, for example with iconv."
        ) from error
