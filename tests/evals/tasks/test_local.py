"""Tasks of this disk: nano's test split, and files of one's own with what can be wrong in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlx_magistral.errors import RunError, UsageError
from mlx_magistral.evals.tasks.local import file_task, nano_task
from mlx_magistral.evals.tasks.problem import Kind
from mlx_magistral.evals.tasks.public import DataOptions
from mlx_magistral.evals.tasks.registry import find_tasks
from nano_data.problem import split_of


def written(path: Path, *records: Any) -> Path:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in records))
    return path


def test_nano_s_problems_are_of_its_test_split() -> None:
    task = nano_task()
    assert len(task.problems) == 520 == len({problem.question for problem in task.problems})
    assert {problem.kind for problem in task.problems} == {Kind.TEXT}
    assert task.problems[0].posed(0).text == task.problems[0].question
    sums = [each.question for each in task.problems if each.group == "what_is_a_plus_b"]
    for question in sums:
        a, b = sorted(int(word) for word in question.strip("?").split()[2::2])
        assert split_of(f"+:{a}:{b}") == "test"


def test_a_file_of_one_s_own(tmp_path: Path) -> None:
    path = written(
        tmp_path / "mine.jsonl",
        {"problem": "2 + 2?", "answer": 4},
        {"problem": "Name?", "answer": "Paris", "kind": "text", "id": "capital", "group": "geo"},
        {"problem": "Prime?", "choices": ["9", "11"], "answer": "11"},
        {"problem": "Prime?", "choices": ["9", "11"], "answer": "a"},
    )
    task = file_task(path)
    kinds = [Kind.NUMBER, Kind.TEXT, Kind.CHOICE, Kind.CHOICE]
    assert [problem.kind for problem in task.problems] == kinds
    assert [problem.answer for problem in task.problems] == ["4", "Paris", "B", "A"]
    assert [problem.id for problem in task.problems] == ["1", "capital", "3", "4"]
    assert task.name == "mine" and task.source["file"] == "mine.jsonl"
    assert task.problems[0].posed(0).text.endswith("\\boxed{}.")
    assert "B) 11" in task.problems[2].posed(0).text
    assert task.problems[0].posed(0, "Q: {problem} A:").text == "Q: 2 + 2? A:"
    # A last line without its end, and an empty one, are no fault in a file of one's own.
    path.write_text(path.read_text().rstrip() + "\n\n" + '{"problem": "?", "answer": "1"}')
    assert len(file_task(path).problems) == 5


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"answer": "1"}, "the column 'problem' is missing"),
        ({"problem": "?"}, "the column 'answer' is missing"),
        ({"problem": "", "answer": "1"}, "'problem' is '', not a text"),
        ({"problem": "?", "answer": None}, "the column 'answer' is missing"),
        ({"problem": "?", "answer": True}, "'answer' is True"),
        ({"problem": "?", "answer": "1", "difficulty": 3}, "no column 'difficulty'; known are id"),
        ({"problem": "?", "answer": "x", "kind": "number"}, "'x', and that is no number"),
        ({"problem": "?", "answer": "x", "kind": "essay"}, "it takes number, math or text"),
        ({"problem": "?", "answer": "C", "choices": ["a", "b"]}, "none of the choices"),
        ({"problem": "?", "answer": "A", "choices": ["a"]}, "2 to 26 texts"),
        ({"problem": "?", "tests": []}, "'tests' must be a list"),
        ({"problem": "?", "tests": [{"input": "1"}]}, "'tests' must be a list"),
        (
            {"problem": "?", "tests": [{"input": "1", "output": "2"}], "function": "a b"},
            "'a b', and that is no name",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, record: dict[str, Any], message: str
) -> None:
    path = written(tmp_path / "mine.jsonl", {"problem": "?", "answer": "1"}, record)
    with pytest.raises(RunError) as raised:
        file_task(path)
    assert "mine.jsonl, problem 2: " in str(raised.value) and message in str(raised.value)


def test_a_file_without_problems_or_with_one_id_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(RunError, match="holds no problem"):
        file_task(tmp_path / "empty.jsonl")
    same = {"problem": "?", "answer": "1", "id": "a"}
    with pytest.raises(RunError, match="problem 2: another problem has the id 'a'"):
        file_task(written(tmp_path / "twice.jsonl", same, same))
    with pytest.raises(RunError, match=r"missing\.jsonl cannot be read"):
        file_task(tmp_path / "missing.jsonl")
    (tmp_path / "broken.jsonl").write_text("{]\n")
    with pytest.raises(RunError, match="line 1 is no JSON object"):
        file_task(tmp_path / "broken.jsonl")


def test_an_unknown_task_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="no task nanno. Did you mean nano?"):
        find_tasks(("nanno",), DataOptions())
    with pytest.raises(UsageError, match="Two tasks are called nano"):
        find_tasks(("nano", "nano"), DataOptions())
