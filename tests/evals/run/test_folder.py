"""A run's folder: what it is of, who may write in it, and what a kill leaves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evals.report.test_figures import BLANK

from mlx_magistral.errors import RunError
from mlx_magistral.evals.run.folder import (
    RunFolder,
    default_folder,
    differences,
    read_run,
    read_samples,
)

IDENTITY: dict[str, Any] = {
    "model": {"name": "folder/nano", "weights": "abc"},
    "tasks": {"nano": {"sha256": "1"}},
    "recipe": {"protocol": "paper", "top_p": None, "pair": (1, 2)},
}


def test_a_run_is_taken_up_with_all_that_it_has(tmp_path: Path) -> None:
    for session in range(2):
        with RunFolder(tmp_path / "run", IDENTITY, {"width": session}) as folder:
            assert len(list(folder.samples())) == session
            folder.append(replace(BLANK, sample=session))
            folder.end_session(samples=1)
    record = read_run(tmp_path / "run")
    assert record["sessions"] == [{"width": n, "samples": 1} for n in range(2)]
    assert [sample.sample for sample in read_samples(tmp_path / "run")] == [0, 1]


def test_a_sample_comes_back_as_it_was(tmp_path: Path) -> None:
    sample = replace(BLANK, thinking="é\n\u2028", answer=None, note="no answer", limit="loop")
    with RunFolder(tmp_path, IDENTITY, {}) as folder:
        folder.append(sample)
        assert list(folder.samples()) == [sample]


def test_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    with RunFolder(tmp_path, IDENTITY, {}):
        pass
    other = {**IDENTITY, "recipe": {**IDENTITY["recipe"], "top_p": 0.9}}
    with pytest.raises(RunError, match=r"another run: recipe\.top_p differ"):
        RunFolder(tmp_path, other, {})
    assert default_folder(other) != default_folder(IDENTITY)
    assert default_folder(IDENTITY).name.startswith("nano-nano-")


def test_a_second_process_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    with RunFolder(tmp_path, IDENTITY, {}) as folder:
        folder.append(BLANK)
        with pytest.raises(RunError, match="Another process is writing"):
            RunFolder(tmp_path, IDENTITY, {})
        assert len(read_run(tmp_path)["sessions"]) == 1
        assert read_samples(tmp_path) == [BLANK]


def test_what_a_kill_tore_is_not_read(tmp_path: Path) -> None:
    with RunFolder(tmp_path, IDENTITY, {}) as folder:
        folder.append(BLANK)
    whole = (tmp_path / "samples.jsonl").read_text()
    (tmp_path / "samples.jsonl").write_text(whole + whole[:40])
    assert read_samples(tmp_path) == [BLANK]
    with RunFolder(tmp_path, IDENTITY, {}) as folder:
        assert list(folder.samples()) == [BLANK]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", None, "it has no run.json"),
        ("run.json", "{", "cannot be read"),
        ("run.json", '{"format": 99}', "of another version"),
    ],
)
def test_what_is_no_run_says_so(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(RunError, match=message):
        read_run(tmp_path)


def test_samples_without_their_run_are_not_added_to(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text(json.dumps(BLANK.to_json()) + "\n")
    with pytest.raises(RunError, match=r"samples but no run\.json"):
        RunFolder(tmp_path, IDENTITY, {})
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file, and a run is a folder"):
        RunFolder(tmp_path / "file", IDENTITY, {})
    (tmp_path / "samples.jsonl").write_text('{"task": "t"}\n')
    with pytest.raises(RunError, match="a line that is no sample"):
        read_samples(tmp_path)


def test_differences_name_the_parts() -> None:
    one: dict[str, Any] = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    other: dict[str, Any] = {"a": {"b": 1, "c": 2}, "f": 3}
    assert differences(one, other) == ["a.c", "e", "f"]
