"""The public sets in the layouts that their repositories have, from a hub on this machine."""

import base64
import csv
import hashlib
import json
import os
import pickle
import zlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import COMMIT, HubServer

from mlx_magistral.errors import HubError, MissingExtraError, RunError, UsageError
from mlx_magistral.evals.tasks.problem import Kind
from mlx_magistral.evals.tasks.public import DataOptions, public_task
from mlx_magistral.evals.tasks.registry import find_tasks
from mlx_magistral.hub.download import download
from mlx_magistral.hub.repository import Repository

AIME24 = {
    "id": [60, 61],
    "problem": ["What is 37 + 48?", "Find $m+n$."],
    "solution": ["...", "..."],
    "answer": ["085", "204"],
    "url": ["u", "u"],
    "year": ["2024", "2024"],
}
GPQA_COLUMNS = [
    *("Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2"),
    *("Incorrect Answer 3", "Explanation", "Record ID", "High-level domain"),
]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    import huggingface_hub.constants as constants

    with HubServer({}) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            server.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield server


def repository(hub: HubServer, tmp_path: Path, name: str) -> Path:
    folder = tmp_path / "remote" / name
    folder.mkdir(parents=True)
    hub.repositories[name] = folder
    return folder


def code_row(number: int, day: str, hidden: Any, **fields: Any) -> dict[str, Any]:
    return {
        "question_title": "Sum",
        "question_content": f"Print the sum of {number} numbers.",
        "platform": "atcoder",
        "question_id": f"abc{number}_a",
        "contest_id": f"abc{number}",
        "contest_date": f"{day}T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
        "private_test_cases": base64.b64encode(
            zlib.compress(hidden if isinstance(hidden, bytes) else pickle.dumps(json.dumps(hidden)))
        ).decode(),
        "metadata": "{}",
        **fields,
    }


def test_aime24_of_a_parquet_file(hub: HubServer, tmp_path: Path) -> None:
    folder = repository(hub, tmp_path, "HuggingFaceH4/aime_2024")
    (folder / "data").mkdir()
    pq.write_table(pa.table(AIME24), folder / "data" / "train-00000-of-00001.parquet")
    (folder / "README.md").write_text("a card")
    hub.also_large = {"train-00000-of-00001.parquet"}
    task = public_task("aime24", DataOptions())
    assert [(problem.id, problem.answer) for problem in task.problems] == [
        ("60", "85"),
        ("61", "204"),
    ]
    assert {problem.kind for problem in task.problems} == {Kind.NUMBER}
    assert task.source["repository"] == "HuggingFaceH4/aime_2024"
    assert task.source["revision"] == COMMIT and task.protocol == "aime"
    name = "data/train-00000-of-00001.parquet"
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert task.source["files"] == {name: digest}
    assert any(request.startswith("GET /cdn/") for request in hub.requests)
    assert task.problems[0].posed(0).text.endswith("within \\boxed{}.")


def test_aime24_s_other_copy_has_capital_columns(hub: HubServer, tmp_path: Path) -> None:
    folder = repository(hub, tmp_path, "Maxwell-Jia/AIME_2024")
    table = {"ID": ["2024-II-4"], "Problem": ["?"], "Solution": [""], "Answer": [33]}
    pq.write_table(pa.table(table), folder / "aime_2024_problems.parquet")
    (task,) = find_tasks(("aime24",), DataOptions())
    assert [(each.id, each.answer) for each in task.problems] == [("2024-II-4", "33")]
    assert task.source["repository"] == "Maxwell-Jia/AIME_2024"


def test_aime25_of_json_lines_at_a_named_commit(hub: HubServer, tmp_path: Path) -> None:
    folder = repository(hub, tmp_path, "math-ai/aime25")
    row = {"problem": "Find $b$.", "answer": "70", "id": "0"}
    (folder / "test.jsonl").write_text(json.dumps(row) + "\n")
    (task,) = find_tasks((f"aime25@{COMMIT}",), DataOptions())
    assert task.name == "aime25" and task.problems[0].answer == "70"
    assert any(f"/revision/{COMMIT}" in request for request in hub.requests)


def test_gpqa_is_shuffled_and_keeps_its_letter(hub: HubServer, tmp_path: Path) -> None:
    folder = repository(hub, tmp_path, "Idavidrein/gpqa")
    with (folder / "gpqa_diamond.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(GPQA_COLUMNS)
        writer.writerow(["Which,\none?\n", "yes", "no", "maybe", "never", "", "rec1", "Physics"])
    (folder / "gpqa_main.csv").write_text("another set")
    task = public_task("gpqa-diamond", DataOptions())
    (problem,) = task.problems
    assert problem.question == "Which,\none?" and problem.group == "Physics"
    texts = {problem.posed(n).text for n in range(8)}
    assert len(texts) > 1
    for n in range(8):
        posed = problem.posed(n)
        assert f"{posed.answer}) yes" in posed.text
    assert hub.downloads() == {"gpqa_diamond.csv"}


def test_a_set_that_is_here_needs_no_network(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="math-ai/aime25 is not on this disk, and HF_HUB_OFFLINE"):
        public_task("aime25", DataOptions())
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    folder = repository(hub, tmp_path, "math-ai/aime25")
    (folder / "test.jsonl").write_text('{"problem": "?", "answer": "70", "id": "0"}\n')
    online = public_task("aime25", DataOptions())
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    del hub.repositories["math-ai/aime25"]
    for revision in (None, COMMIT):
        offline = public_task("aime25", DataOptions(revision=revision))
        assert offline.source == online.source
    with pytest.raises(HubError, match="is not on this disk"):
        public_task("aime25", DataOptions(revision="f" * 40))


def test_what_is_fetched_is_told_before(hub: HubServer, tmp_path: Path) -> None:
    """And may be watched: LiveCodeBench is 4.35 GB."""
    folder = repository(hub, tmp_path, "math-ai/aime25")
    (folder / "test.jsonl").write_text('{"problem": "?", "answer": "70"}\n')
    told = []

    def fetch(found: Repository) -> Path:
        told.append((found.name, found.kind, found.missing_bytes, found.commit))
        return download(found)

    for _ in range(2):
        public_task("aime25", DataOptions(fetch=fetch))
    size = (folder / "test.jsonl").stat().st_size
    assert told == [("math-ai/aime25", "dataset", n, COMMIT) for n in (size, 0)]


def test_a_gated_set_says_how_to_be_let_in(hub: HubServer) -> None:
    hub.refused["Idavidrein/gpqa"] = (403, "GatedRepo")
    with pytest.raises(HubError) as raised:
        public_task("gpqa-diamond", DataOptions())
    message = str(raised.value)
    assert "gated" in message and "Accept its terms" in message and "hf auth login" in message
    assert message.endswith("Or bring the file: --data FILE.")


def test_a_set_that_is_nowhere_or_has_no_such_file(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="math-ai/aime25"):
        public_task("aime25", DataOptions())
    (repository(hub, tmp_path, "math-ai/aime25") / "README.md").write_text("")
    with pytest.raises(HubError, match=r"no file test\*\.jsonl or"):
        public_task("aime25", DataOptions())


def test_livecodebench_takes_five_files_and_the_window(hub: HubServer, tmp_path: Path) -> None:
    folder = repository(hub, tmp_path, "livecodebench/code_generation_lite")
    days = ["2023-05-07", "2024-08-01", "2024-10-12", "2025-01-04", "2025-02-01", "2025-03-15"]
    hidden = [{"input": "4 5\n", "output": "9\n", "testtype": "stdin"}]
    for number, day in enumerate(days, 1):
        name = "test.jsonl" if number == 1 else f"test{number}.jsonl"
        row = code_row(number, day, hidden)
        (folder / name).write_text(json.dumps(row) + "\n")
    (folder / "code_generation_lite.py").write_text("raise SystemExit")
    task = public_task("livecodebench-v5", DataOptions())
    assert [each.id for each in task.problems] == [f"abc{n}_a" for n in (2, 3, 4, 5)]
    assert len(task.source["files"]) == 5 and "test6.jsonl" not in task.source["files"]
    assert (task.source["from"], task.source["to"]) == ("2024-08-01", "2025-02-01")
    assert task.source["problems"] == 4
    tests = task.problems[0].tests
    assert tests is not None
    assert [case.output for case in tests().cases] == ["3\n", "9\n"] and tests().function is None
    later = DataOptions(first=date(2025, 1, 1), last=date(2025, 1, 31))
    assert [each.id for each in public_task("livecodebench-v5", later).problems] == ["abc4_a"]
    assert not any("code_generation_lite.py" in request for request in hub.requests)


def test_starter_code_makes_it_a_function(tmp_path: Path) -> None:
    row = code_row(
        1,
        "2024-09-01",
        [{"input": "[1]\n2", "output": "3", "testtype": "functional"}],
        starter_code="class Solution:\n    def f(self, a, b):\n        ",
        metadata=json.dumps({"func_name": "f"}),
    )
    other = code_row(2, "2024-09-02", [], difficulty="hard")
    path = tmp_path / "test.jsonl"
    path.write_text(f"{json.dumps(row)}\n\n{json.dumps(other)}\n")
    one, two = public_task("livecodebench-v5", DataOptions(paths=(path,))).problems
    assert "```python\nclass Solution:\n    def f(self, a, b):\n```" in one.posed(0).text
    assert one.tests is not None and one.tests().function == "f"
    assert "standard input" in two.posed(0).text and two.group == "hard"
    assert two.tests is not None and len(two.tests().cases) == 1


def test_hidden_tests_that_are_a_program_stop_it(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/attacked",)

    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps(code_row(1, "2024-09-01", pickle.dumps(Attack()))) + "\n")
    (problem,) = public_task("livecodebench-v5", DataOptions(paths=(path,))).problems
    assert problem.tests is not None
    with pytest.raises(RunError, match=r"test\.jsonl, row 1: its tests cannot be read: its pickle"):
        problem.tests()
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("aime24", "a.jsonl", '{"problem": "?"}', "row 1: the column 'answer' is missing or empty"),
        ("aime24", "a.jsonl", '{"answer": "1"}', "row 1: the column 'problem' is missing"),
        ("aime24", "a.jsonl", '{"problem": "?", "answer": "1/2"}', "'1/2' is no integer"),
        ("aime24", "a.jsonl", "[1]", "row 1 is no JSON object"),
        ("aime24", "a.jsonl", "", "no problem that is asked for"),
        ("aime24", "a.txt", "", "is none of .jsonl, .csv, .parquet"),
        ("aime24", "a.parquet", "no parquet", "is no Parquet file"),
        (
            "gpqa-diamond",
            "g.csv",
            "Question,Answer\nx,y\n",
            "the column 'Correct Answer' is missing",
        ),
        ("livecodebench-v5", "l.jsonl", '{"contest_date": "soon"}', "'soon' is no date"),
        ("livecodebench-v5", "l.jsonl", "{}", "the column 'contest_date' is missing"),
    ],
)
def test_a_file_that_is_something_else_is_told_by_row_and_column(
    tmp_path: Path, name: str, file: str, content: str, message: str
) -> None:
    path = tmp_path / file
    path.write_text(content)
    with pytest.raises(RunError) as raised:
        public_task(name, DataOptions(paths=(path,)))
    assert message in str(raised.value)


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlx_magistral.evals.tasks.rows.find_spec", lambda name: None)
    (tmp_path / "a.parquet").write_text("")
    with pytest.raises(MissingExtraError, match=r"mlx-magistral\[eval\]"):
        public_task("aime24", DataOptions(paths=(tmp_path / "a.parquet",)))


def test_data_is_for_one_public_task(tmp_path: Path) -> None:
    for names in (("nano",), ("aime24", "aime25"), ("own.jsonl",)):
        with pytest.raises(UsageError, match="--data is for one task of aime24"):
            find_tasks(names, DataOptions(paths=(tmp_path,)))
    with pytest.raises(RunError, match="There is no data file"):
        find_tasks(("aime24",), DataOptions(paths=(tmp_path / "no",)))
    with pytest.raises(UsageError, match="Did you mean aime24?"):
        find_tasks(("aime2024",), DataOptions())
