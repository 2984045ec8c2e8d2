"""Public sets in the layouts that their repositories have: AIME, GPQA, LiveCodeBench."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from mlx_magistral.errors import RunError
from mlx_magistral.evals.scoring.code_tests import CodeTest, CodeTests
from mlx_magistral.evals.scoring.numbers import read_number, shown
from mlx_magistral.evals.tasks.hub_data import DataFiles, Fetch, hub_files, local_files
from mlx_magistral.evals.tasks.private_tests import read_private_tests
from mlx_magistral.evals.tasks.problem import (
    BOXED_HINT,
    CHOICE_HINT,
    STARTER_HINT,
    STDIN_HINT,
    Kind,
    Problem,
    Task,
)
from mlx_magistral.evals.tasks.rows import Row, cell, json_row, read_rows
from mlx_magistral.hub.download import download

# LiveCodeBench's release_v5 from August 2024 on, as the baselines of reasoning models take it.
WINDOW = (date(2024, 8, 1), date(2025, 2, 1))
# test.jsonl and test2.jsonl to test5.jsonl; a sixth is release_v6's.
_V5_FILES = 5
_WRONG_CHOICES = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


@dataclass(frozen=True)
class DataOptions:
    """``paths`` take the hub's place; ``first`` and ``last`` bound LiveCodeBench's dates.

    ``fetch`` downloads what is not here, with progress where somebody wants to see it.
    """

    revision: str | None = None
    paths: tuple[Path, ...] = ()
    first: date = WINDOW[0]
    last: date = WINDOW[1]
    fetch: Fetch = download


def public_task(name: str, options: DataOptions) -> Task:
    """A set by its task's name, one of PUBLIC. Raises HubError or RunError."""
    found = PUBLIC[name]
    files = (
        local_files(options.paths)
        if options.paths
        else hub_files(
            found.repositories,
            found.patterns,
            options.revision,
            most=found.most_files,
            fetch=options.fetch,
        )
    )
    return found.make(name, files, options)


def _aime(name: str, files: DataFiles, options: DataOptions) -> Task:
    problems = []
    for path in files.paths:
        for number, row in enumerate(read_rows(path), 1):
            answer = str(cell(row, ("answer", "Answer"), path, number))
            value = read_number(answer)
            if value is None or value.denominator != 1:
                raise RunError(f"{path.name}, row {number}: the answer {answer!r} is no integer.")
            text = str(cell(row, ("problem", "Problem", "question"), path, number))
            id = str(row.get("id", row.get("ID", number)))
            problems.append(Problem(id, text.strip(), shown(value), Kind.NUMBER, BOXED_HINT))
    return Task(name, _some(problems, files), files.source, "aime", 16_000)


def _gpqa(name: str, files: DataFiles, options: DataOptions) -> Task:
    problems = []
    for path in files.paths:
        for number, row in enumerate(read_rows(path), 1):
            read = partial(cell, row, path=path, number=number)
            choices = [read(("Correct Answer",)), *(read((each,)) for each in _WRONG_CHOICES)]
            problems.append(
                Problem(
                    id=str(row.get("Record ID") or number),
                    question=str(read(("Question",))).strip(),
                    answer="A",
                    kind=Kind.CHOICE,
                    hint=CHOICE_HINT,
                    choices=tuple(str(choice).strip() for choice in choices),
                    shuffles=True,
                    group=str(row.get("High-level domain") or ""),
                )
            )
    return Task(name, _some(problems, files), files.source, "gpqa", 8_000)


def _livecodebench(name: str, files: DataFiles, options: DataOptions) -> Task:
    problems: list[Problem] = []
    for path in files.paths:
        problems += _code_problems(path, options)
    window = {"from": options.first.isoformat(), "to": options.last.isoformat()}
    source = {**files.source, **window, "problems": len(problems)}
    return Task(name, _some(problems, files), source, "livecodebench", 14_000)


def _code_problems(path: Path, options: DataOptions) -> Iterator[Problem]:
    """Those within the window; tests stay in the file until they are needed: they are gigabytes."""
    offset = 0
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    row = json_row(line, path, number)
                    day = _day(str(cell(row, ("contest_date",), path, number)), path, number)
                    if options.first <= day <= options.last:
                        yield _code_problem(row, path, number, offset)
                offset += len(line)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}).") from error


def _code_problem(row: Row, path: Path, number: int, offset: int) -> Problem:
    starter = str(row.get("starter_code") or "")
    for name in ("public_test_cases", "private_test_cases"):
        cell(row, (name,), path, number)
    return Problem(
        id=str(cell(row, ("question_id",), path, number)),
        question=str(cell(row, ("question_content",), path, number)).strip(),
        answer="",
        kind=Kind.CODE,
        hint=STARTER_HINT.replace("{starter}", starter.rstrip()) if starter else STDIN_HINT,
        tests=partial(_tests_at, path, offset, number),
        group=str(row.get("difficulty") or ""),
    )


def _tests_at(path: Path, offset: int, number: int) -> CodeTests:
    """The public and hidden tests of the row that begins there."""
    with path.open("rb") as stream:
        stream.seek(offset)
        row = json_row(stream.readline(), path, number)
    try:
        public = json.loads(row["public_test_cases"])
        hidden = read_private_tests(str(row["private_test_cases"]))
        cases = tuple(CodeTest(str(each["input"]), str(each["output"])) for each in public + hidden)
        metadata = json.loads(row.get("metadata") or "{}")
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path.name}, row {number}: its tests cannot be read: {error}.") from error
    function = metadata.get("func_name") if isinstance(metadata, dict) else None
    if not cases:
        raise RunError(f"{path.name}, row {number} has no tests.")
    return CodeTests(cases, function)


def _day(text: str, path: Path, number: int) -> date:
    try:
        return date.fromisoformat(text[:10])
    except ValueError as error:
        raise RunError(f"{path.name}, row {number}: {text!r} is no date.") from error


def _some(problems: list[Problem], files: DataFiles) -> list[Problem]:
    if not problems:
        names = ", ".join(path.name for path in files.paths)
        raise RunError(f"{names} has no problem that is asked for.")
    known: set[str] = set()
    for problem in problems:
        if problem.id in known:
            raise RunError(f"Two problems of {files.paths[0].name} have the id {problem.id}.")
        known.add(problem.id)
    return problems


@dataclass(frozen=True)
class _Public:
    repositories: tuple[str, ...]
    patterns: tuple[str, ...]
    make: Callable[[str, DataFiles, DataOptions], Task]
    most_files: int = 1


PUBLIC = {
    "aime24": _Public(
        ("HuggingFaceH4/aime_2024", "Maxwell-Jia/AIME_2024"), ("*.jsonl", "*.parquet"), _aime
    ),
    "aime25": _Public(("math-ai/aime25",), ("test*.jsonl", "*test*.parquet", "*.jsonl"), _aime),
    "gpqa-diamond": _Public(("Idavidrein/gpqa",), ("gpqa_diamond.csv",), _gpqa),
    "livecodebench-v5": _Public(
        ("livecodebench/code_generation_lite",), ("test*.jsonl",), _livecodebench, _V5_FILES
    ),
}
