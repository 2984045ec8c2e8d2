"""A file of records loses nothing but the one being written, and has one writer."""

import json
from pathlib import Path

import pytest

from mlx_magistral.errors import RunError
from mlx_magistral.evals.line_file import LineFile, read_records


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lines.jsonl"
    with LineFile(path) as lines:
        lines.append({"a": 1})
        lines.append({"b": "é\ud800"})
    with LineFile(path) as lines:
        assert list(lines.records())[0] == {"a": 1}
        assert len(list(lines.records())) == 2


@pytest.mark.parametrize("torn", ['{"c": 3', '{"c": 3}', "x" * 200_000])
def test_a_line_that_a_kill_left_unfinished_is_cut(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "lines.jsonl"
    whole = '{"a": 1}\n'
    path.write_text(whole + torn)
    assert list(read_records(path)) == [{"a": 1}]
    with LineFile(path) as lines:
        lines.append({"d": 4})
    assert path.read_text() == whole + '{"d": 4}\n'


def test_nothing_but_a_torn_line_becomes_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a"')
    with LineFile(path) as lines:
        assert list(lines.records()) == []
    assert path.read_bytes() == b""


@pytest.mark.parametrize("strange", ["no json\n", "[1]\n", '{"a": 1}\n\xff\n'])
def test_another_kind_of_file_is_refused_by_line(tmp_path: Path, strange: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(strange.encode("latin-1"))
    with LineFile(path) as lines, pytest.raises(RunError, match="line [12] is no JSON object"):
        list(lines.records())


def test_a_second_writer_is_refused_also_after_records_were_dropped(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    with LineFile(path) as lines:
        with pytest.raises(RunError, match="Another process"):
            LineFile(path)
        lines.append({"a": 1})
        lines.append({"a": 2})
        lines.keep(lambda record: record["a"] == 2)
        with pytest.raises(RunError, match="Another process"):
            LineFile(path)
        lines.append({"a": 3})
    assert [json.loads(line)["a"] for line in path.read_text().splitlines()] == [2, 3]
    assert [each.name for each in tmp_path.iterdir()] == ["lines.jsonl"]


def test_a_place_that_takes_nothing_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        LineFile(tmp_path / "file" / "lines.jsonl")
