"""RunFolder: all that is kept of a run.

    run.json         what is measured (``identity``), and each session that worked on it
    problems.jsonl   the text of each problem that was asked, and what is right
    samples.jsonl    a line a reply, see sample.py

``identity`` names the model by its weights, the data by their hashes, and the recipe: a run of
another one is refused in the same folder. How many samples and problems is no part of it, so a run
can be made longer later.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from mlx_magistral.errors import RunError, SettingsError
from mlx_magistral.evals.line_file import LineFile, read_records
from mlx_magistral.evals.run.order import Planned
from mlx_magistral.evals.run.sample import Sample
from mlx_magistral.settings import write_text_atomically

RUN_FILE, PROBLEMS_FILE, SAMPLES_FILE = "run.json", "problems.jsonl", "samples.jsonl"
_FORMAT = 1


class RunFolder:
    """A run being worked on; it is locked until ``close``. Use as a context manager."""

    def __init__(self, folder: Path, identity: dict[str, Any], session: dict[str, Any]) -> None:
        """Raises RunError where another process is at it, or it is another run's."""
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{folder} is a file, and a run is a folder. Name another place.")
        # The lock comes before anything is read or written.
        self._samples = LineFile(folder / SAMPLES_FILE)
        try:
            self._record = self._take_up(identity, session)
        except BaseException:
            self._samples.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._samples.close()

    def samples(self) -> Iterator[Sample]:
        """All that are there."""
        return map(Sample.from_json, self._samples.records())

    def append(self, sample: Sample) -> None:
        """Keep a sample for good."""
        self._samples.append(sample.to_json())

    def write_problems(self, planned: Iterable[Planned], template: str | None) -> None:
        """The texts of the problems that this run asks; those of earlier sessions stay."""
        path = self.folder / PROBLEMS_FILE
        known = {}
        if path.exists():
            known = {(each["task"], each["id"]): each for each in read_records(path)}
        for each in planned:
            posed = each.problem.posed(0, template)
            record = {"task": each.task, "id": each.problem.id, "kind": each.problem.kind.value}
            text = {"prompt": posed.text, "answer": posed.answer, "group": each.problem.group}
            known[each.task, each.problem.id] = record | text
        _write(
            path, "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in known.values())
        )

    def end_session(self, **facts: Any) -> None:
        """Note what a session came to."""
        self._record["sessions"][-1] |= facts
        self._store()

    def _take_up(self, identity: dict[str, Any], session: dict[str, Any]) -> dict[str, Any]:
        path = self.folder / RUN_FILE
        record: dict[str, Any] = {"format": _FORMAT, "identity": identity, "sessions": []}
        if path.exists():
            record = read_run(self.folder)
            _require_same(self.folder, record["identity"], identity)
        elif any(True for _ in self._samples.records()):
            raise RunError(f"{self.folder} has samples but no {RUN_FILE}. Name another folder.")
        record["sessions"].append(session)
        self._record = record
        self._store()
        return record

    def _store(self) -> None:
        text = json.dumps(self._record, indent=2, ensure_ascii=False)
        _write(self.folder / RUN_FILE, f"{text}\n")


def read_run(folder: Path) -> dict[str, Any]:
    """run.json; raises RunError where there is no run."""
    path = folder / RUN_FILE
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{folder} is no run: it has no {RUN_FILE}.") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}).") from error
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise RunError(f"{path} is of another version of this program.")
    return record


def read_samples(folder: Path) -> list[Sample]:
    """All samples of a run, also of one that is at work; of any twice the last counts."""
    found = map(Sample.from_json, read_records(folder / SAMPLES_FILE))
    return list({sample.key: sample for sample in found}.values())


def read_problems(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The texts by task and problem."""
    records = read_records(folder / PROBLEMS_FILE)
    return {(record["task"], record["id"]): record for record in records}


def default_folder(identity: dict[str, Any]) -> Path:
    """The folder that the same command finds again: eval-runs/TASKS-MODEL-HASH."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    tasks = "+".join(identity["tasks"])
    model = Path(identity["model"]["name"]).name or "model"
    return Path("eval-runs") / f"{tasks}-{model}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def differences(one: dict[str, Any], other: dict[str, Any], at: str = "") -> list[str]:
    """The parts in which two identities differ: recipe.top_p, model.weights, ..."""
    found = []
    for key in sorted(one.keys() | other.keys()):
        a, b, name = one.get(key), other.get(key), f"{at}{key}"
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{name}.")
        elif a != b:
            found.append(name)
    return found


def _require_same(folder: Path, begun: dict[str, Any], wanted: dict[str, Any]) -> None:
    # Through JSON, because a tuple comes back as a list.
    changed = differences(begun, json.loads(json.dumps(wanted)))
    if changed:
        raise RunError(
            f"{folder} holds another run: {', '.join(changed)} differ. Repeat the command that it "
            "was begun with, or name another folder."
        )


def _write(path: Path, text: str) -> None:
    try:
        write_text_atomically(path, text)
    except SettingsError as error:
        raise RunError(str(error)) from error
