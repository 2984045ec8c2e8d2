"""SessionStore: the folder of all conversations. Names, listing, search, deletion."""

import os
import re
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlx_magistral.chat.session import SUFFIX, Session, SessionContent, read_questions, read_session
from mlx_magistral.errors import SessionError, UsageError

FOLDER_VARIABLE = "MLX_MAGISTRAL_DATA"

_NAME = re.compile(r"\w[\w.-]{0,79}")
_TITLE_WORDS = 5
_TITLE_CHARACTERS = 40


def data_folder() -> Path:
    """The environment's folder, else the platform's place for a program's data."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    from platformdirs import user_data_path

    return user_data_path("mlx-magistral", appauthor=False)


@dataclass(frozen=True)
class SessionSummary:
    """A line of the list; times are in seconds since 1970."""

    id: str
    title: str
    turns: int
    used: float
    model: str | None


class SessionStore:
    """All sessions under ``folder``, which is made when the first one is."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else data_folder() / "sessions"

    def create(self, *, question: str, model: str | None, name: str | None = None) -> Session:
        """A new session, named by the day and the first words of its question."""
        if name is not None:
            return Session.create(self._path(name), model=model)
        stem = f"{time.strftime('%Y-%m-%d')}-{_words(question)}".rstrip("-")
        for number in range(1, 10_000):
            candidate = stem if number == 1 else f"{stem}-{number}"
            try:
                return Session.create(self._path(candidate), model=model)
            except FileExistsError:
                continue
        raise SessionError(f"There are 9,999 sessions named {stem} already.")

    def resume(self, name: str) -> tuple[Session, list[str]]:
        """Open a session by its whole name; raises SessionError."""
        return Session.resume(self._path(name))

    def exists(self, name: str) -> bool:
        return os.path.isfile(self._path(name))  # False too where nobody may look

    def read(self, name: str) -> SessionContent:
        """A session's content, by its whole name; raises SessionError."""
        return read_session(self._path(name))[0]

    def questions(self, name: str) -> frozenset[str]:
        """All that was ever asked in a session, turns that were taken back too."""
        try:
            return read_questions(self._path(name))
        except SessionError:
            return frozenset()

    def find(self, words: str) -> str:
        """The one session that this is the name of, or a part of it; raises SessionError."""
        found = self.match(words)
        if found is None:
            raise SessionError(
                f"There is no session {words!r}. See them by: mlx-magistral sessions"
            )
        return found

    def match(self, words: str) -> str | None:
        """As ``find``, and None where no session has this in its name."""
        names = self.names()
        if words in names:
            return words
        found = [name for name in names if words.lower() in name.lower()]
        if len(found) < 2:
            return found[0] if found else None
        some = ", ".join(found[:4]) + (", …" if len(found) > 4 else "")
        raise SessionError(f"{len(found)} sessions have {words!r} in their name: {some}.")

    def names(self) -> list[str]:
        """All names, the session written to last first."""
        return [path.stem for path in self._paths()]

    def latest(self) -> str | None:
        """The session written to last."""
        return next(iter(self.names()), None)

    def search(self, words: str = "") -> Iterator[SessionSummary]:
        """Sessions whose messages or name hold every word, newest first; no words give all."""
        wanted = words.casefold().split()
        for path in self._paths():
            try:
                content, _ = read_session(path)
            except SessionError:
                continue  # no session, or deleted meanwhile
            said = [str(each.get("content") or "") for each in content.messages]
            text = "\n".join([content.id, *said]).casefold()
            if all(word in text for word in wanted):
                turns = sum(each["role"] == "user" for each in content.messages)
                used = path.stat().st_mtime
                yield SessionSummary(content.id, content.title, turns, used, content.model)

    def delete(self, name: str) -> None:
        """Remove a session; raises SessionError where it is in use or is none."""
        session, _ = self.resume(name)
        try:
            session.path.unlink(missing_ok=True)
        finally:
            session.close()

    def _paths(self) -> list[Path]:
        """Newest first."""
        dated = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            try:
                dated.append((path.stat().st_mtime_ns, path))
            except OSError:
                continue
        return [path for _, path in sorted(dated, reverse=True)]

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"A session's name is letters, digits, '-', '_' and '.', 80 at most, not {name!r}."
            )
        return self.folder / f"{name}{SUFFIX}"


def _words(question: str) -> str:
    """The first words as a part of a file's name, in ASCII where that is possible."""
    plain = unicodedata.normalize("NFKD", question)
    plain = "".join(each for each in plain if not unicodedata.combining(each)).lower()
    words = re.findall(r"[^\W_]+", plain)[:_TITLE_WORDS]
    return "-".join(words)[:_TITLE_CHARACTERS].rstrip("-")
