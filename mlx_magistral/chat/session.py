"""Session: one conversation as a file of JSON lines that only ever grows.

Records: ``session`` (the first line), ``message`` (with the figures of a reply), ``system`` (the
system text from here on) and ``rewind`` (only the first N messages count from here on: undo, retry
and edit). Each is flushed to the disk before the next step, so a crash costs the line that was
being written at most. The file is locked while it is open for writing.
"""

import fcntl
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any

from mlx_magistral.chat.turns import Message
from mlx_magistral.errors import SessionError
from mlx_magistral.events import Reply

SUFFIX = ".jsonl"
_FORMAT = 1


@dataclass
class SessionContent:
    """What a session's file says; ``figures`` has an entry for each message, None for a user's."""

    id: str
    created: float
    model: str | None = None
    system: str | None = None
    messages: list[Message] = field(default_factory=list)
    figures: list[dict[str, Any] | None] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The first question's first line."""
        first = next((each for each in self.messages if each["role"] == "user"), None)
        return "" if first is None else str(first["content"]).strip().partition("\n")[0]

    def rewind(self, count: int) -> None:
        """Forget all but the first ``count`` messages."""
        del self.messages[count:], self.figures[count:]


class Session:
    """A session open for writing; nobody else can open it until ``close()``."""

    def __init__(self, content: SessionContent, path: Path, stream: FileIO) -> None:
        self.content = content
        self.path = path
        self._stream = stream

    @classmethod
    def create(cls, path: Path, *, model: str | None) -> "Session":
        """A new file; raises FileExistsError where there is one, SessionError where none can be."""
        content = SessionContent(path.stem, time.time(), model)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = FileIO(path, "x")
        except FileExistsError as error:
            if path.is_file():
                raise
            raise _not_writable(path, error) from error  # the folder's name is a file's
        except OSError as error:
            raise _not_writable(path, error) from error
        session = cls(content, path, stream)
        session._lock()
        facts = {"format": _FORMAT, "created": content.created, "model": model}
        try:
            session._append({"record": "session", **facts})
        except SessionError:
            # Without its first line it would be no session, and its name be taken.
            path.unlink(missing_ok=True)
            session.close()
            raise
        return session

    @classmethod
    def resume(cls, path: Path) -> tuple["Session", list[str]]:
        """Open a file to go on with it; also returns notes about lines that were lost.

        Raises SessionError where it is in use, is none, or cannot be written.
        """
        try:
            stream = FileIO(path, "r+")
        except OSError as error:
            raise _not_writable(path, error) from error
        # Locked before it is read: what another process appends meanwhile would be missed.
        session = cls(SessionContent(path.stem, 0.0), path, stream)
        session._lock()
        try:
            session.content, notes, whole_bytes = _parse(path)
        except SessionError:
            stream.close()
            raise
        stream.truncate(whole_bytes)
        stream.seek(whole_bytes)
        return session, notes

    def add_user(self, text: str) -> None:
        self._add({"role": "user", "content": text}, None)

    def add_reply(self, reply: Reply) -> None:
        """Add a reply with its reasoning and its figures."""
        figures = asdict(replace(reply, parsed=None))
        for name in ("reasoning", "content", "tool_calls", "rounds", "parsed"):
            del figures[name]
        self._add(reply.message, figures)

    def add_results(self, results: Sequence[Message]) -> None:
        """Add what the tools answered."""
        for message in results:
            self._add(message, None)

    def set_system(self, text: str | None) -> None:
        self.content.system = text
        self._append({"record": "system", "text": text})

    def rewind(self, count: int) -> None:
        """Let only the first ``count`` messages count; the file keeps the others."""
        self.content.rewind(count)
        self._append({"record": "rewind", "messages": count})

    def close(self) -> None:
        self._stream.close()

    def _add(self, message: Message, figures: dict[str, Any] | None) -> None:
        self.content.messages.append(message)
        self.content.figures.append(figures)
        record = {"record": "message", "at": time.time(), "message": message}
        self._append(record if figures is None else {**record, "figures": figures})

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False) + "\n"
        whole_bytes = self._stream.tell()
        try:
            # surrogatepass would write what no reader takes; a lone one is text nobody typed.
            left = memoryview(line.encode("utf-8", "replace"))
            while left:
                left = left[self._stream.write(left) or 0 :]
            os.fsync(self._stream.fileno())
        except OSError as error:
            with suppress(OSError):
                self._stream.truncate(whole_bytes)
                self._stream.seek(whole_bytes)
            raise _not_writable(self.path, error) from error

    def _lock(self) -> None:
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._stream.close()
            raise SessionError(
                f"The session {self.path.stem} is open in another process. End it there, or give "
                "another --session NAME."
            ) from error
        except OSError:
            pass  # a file system without locks


def read_session(path: Path) -> tuple[SessionContent, list[str]]:
    """A session's content and notes about lines that were lost, without opening it for writing.

    Raises SessionError.
    """
    content, notes, _ = _parse(path)
    return content, notes


def read_questions(path: Path) -> frozenset[str]:
    """The texts of every user message in the file, whatever was taken back. Raises SessionError."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SessionError(f"The session {path} cannot be read: {error.strerror}.") from error
    found = set()
    for line in lines:
        try:
            message = json.loads(line)["message"]
            if message["role"] == "user":
                found.add(str(message["content"]))
        except (ValueError, KeyError, TypeError):
            continue  # another record, or a damaged line
    return frozenset(found)


def _parse(path: Path) -> tuple[SessionContent, list[str], int]:
    """Also returns how many bytes of the file are whole lines."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SessionError(f"The session {path} cannot be read: {error.strerror}.") from error
    notes = []
    whole_bytes = data.rfind(b"\n") + 1
    if whole_bytes < len(data):
        notes.append(f"The last line of session {path.stem} was cut off and is left out.")
    lines = data[:whole_bytes].splitlines()
    content = _header(path, lines[0] if lines else b"")
    for number, line in enumerate(lines[1:], start=2):
        try:
            _apply(content, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            notes.append(f"Line {number} of session {path.stem} is damaged and is left out.")
    return content, notes, whole_bytes


def _header(path: Path, line: bytes) -> SessionContent:
    try:
        header = json.loads(line)
        if header["record"] != "session":
            raise ValueError(header["record"])
        if header["format"] > _FORMAT:
            raise SessionError(f"The session {path} is of a newer version. Update mlx-magistral.")
        return SessionContent(path.stem, float(header["created"]), header["model"])
    except (ValueError, KeyError, TypeError) as error:
        raise SessionError(f"{path} is not a session. Move it out of the folder.") from error


def _apply(content: SessionContent, record: dict[str, Any]) -> None:
    match record["record"]:
        case "message":
            message = record["message"]
            if message["role"] == "user" and not isinstance(message["content"], str):
                raise ValueError("a question is a text")
            figures = record.get("figures")
            content.messages.append(message)
            content.figures.append(figures)
            if figures is not None:
                content.model = figures["model"]
        case "system":
            content.system = record["text"]
        case "rewind":
            content.rewind(int(record["messages"]))
        case other:
            raise ValueError(other)


def _not_writable(path: Path, error: OSError) -> SessionError:
    return SessionError(
        f"The session {path} cannot be written ({error.strerror}). Free the disk or its rights."
    )
