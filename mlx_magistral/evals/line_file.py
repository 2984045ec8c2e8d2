"""LineFile: JSON lines that are only ever added to, so that a kill loses the one being written.

Whoever has it open has it locked: a second process is refused instead of mixing its lines in.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlx_magistral.errors import RunError


class LineFile:
    """One record a line; ``append`` returns when the record is on the disk.

    Use as a context manager, or ``close``. Raises RunError where another process has it open, where
    it cannot be written, or where a line other than the last is not a JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._lock(self._descriptor)
            self._cut_torn_line()
        except OSError as error:
            self.close()
            raise self._failure(error) from error
        except RunError:
            self.close()
            raise

    def __enter__(self) -> "LineFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def append(self, record: dict[str, Any]) -> None:
        """Add a record for good."""
        try:
            _write(self._descriptor, _line(record))
        except OSError as error:
            raise self._failure(error) from error

    def records(self) -> Iterator[dict[str, Any]]:
        """All records, in the order in which they were added."""
        return read_records(self.path)

    def keep(self, is_wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Drop the records that are not wanted; a reader sees all of them or none gone."""
        kept = [record for record in self.records() if is_wanted(record)]
        draft = self.path.with_name(f".{self.path.name}.draft")
        try:
            descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
            # Locked before it has the name, so that nobody comes in between.
            self._lock(descriptor)
            _write(descriptor, b"".join(map(_line, kept)))
            os.replace(draft, self.path)
        except OSError as error:
            raise self._failure(error) from error
        os.close(self._descriptor)
        self._descriptor = descriptor

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"Another process is writing {self.path}. Wait for it, or name another place."
            ) from error

    def _cut_torn_line(self) -> None:
        """Take off what a kill left of a line."""
        end = os.fstat(self._descriptor).st_size
        while end:
            start = max(end - (1 << 16), 0)
            newline = os.pread(self._descriptor, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        os.ftruncate(self._descriptor, end)

    def _failure(self, error: OSError) -> RunError:
        return RunError(
            f"{self.path} cannot be written ({error.strerror}). What it holds is whole; run the "
            "same command again when that is mended."
        )


def read_records(path: Path, *, must_end: bool = True) -> Iterator[dict[str, Any]]:
    """The records of a file of JSON objects, empty lines left out.

    ``must_end`` leaves a last line without its end out too: a kill may have torn it. Raises
    RunError naming file and line where one is no JSON object.
    """
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if must_end and not line.endswith(b"\n"):
                    return
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except ValueError:
                    record = None
                if not isinstance(record, dict):
                    raise RunError(
                        f"{path}: line {number} is no JSON object. Mend it, or name another file."
                    )
                yield record
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}).") from error


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)
