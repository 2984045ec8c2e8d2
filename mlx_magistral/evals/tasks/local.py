"""Tasks that are on this disk: nano's own, and files of JSON lines."""

import hashlib
from dataclasses import replace
from pathlib import Path

from mlx_magistral.evals.line_file import read_records
from mlx_magistral.evals.tasks.problem import Kind, Task
from mlx_magistral.evals.tasks.records import problems_from

NANO_TASK = "nano"
_NANO_FILE = Path(__file__).with_name("nano_problems.jsonl")
_NANO_TOKENS = 120


def nano_task() -> Task:
    """Arithmetic and small puzzles of nano's test split, 40 of each of 13 kinds."""
    problems = problems_from(_NANO_FILE, read_records(_NANO_FILE))
    # Asked as nano learnt it, with nothing added.
    plain = [replace(problem, hint="", kind=Kind.TEXT) for problem in problems]
    source = {"file": _NANO_FILE.name, "sha256": file_sha256(_NANO_FILE)}
    return Task(NANO_TASK, plain, source, NANO_TASK, _NANO_TOKENS)


def file_task(path: Path) -> Task:
    """A file's problems, under the file's name. Raises RunError."""
    problems = problems_from(path, read_records(path, must_end=False))
    return Task(path.stem, problems, {"file": path.name, "sha256": file_sha256(path)})


def file_sha256(path: Path) -> str:
    """Of the whole file; it is open to be read already."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
