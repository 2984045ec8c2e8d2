"""docs/architecture.md says what is there: the floors, the stops and the names to touch."""

import ast
import re
from pathlib import Path

import pytest
from test_imports import FLOORS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
STOPS = re.findall(r"`([\w/]+\.py)` `([\w.]+)`", PAGE)
# A name, and the link to its file in the same clause.
TOUCHED = [
    (name, link)
    for row in PAGE.split("## Five changes")[1].split("\n")
    for clause in row.split(";")
    for link in re.findall(r"\]\(\.\./([\w/]+\.py)\)", clause)[:1]
    for name in re.findall(r"`(\w+)`", clause)
]


def names_of(path: str) -> set[str]:
    """What a file defines: functions, classes, their methods and fields, constants."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if hasattr(each, "name")}
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def test_the_floors_are_those_that_imports_are_held_to() -> None:
    (drawing,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    floors = [
        re.split(r" {4,}", line.strip())[0].split()
        for line in drawing.split("\n\n")[0].splitlines()
    ]
    assert floors == [[name for name in floor if name != "__main__"] for floor in FLOORS]


@pytest.mark.parametrize(("path", "name"), STOPS)
def test_a_stop_is_where_the_page_says(path: str, name: str) -> None:
    assert name in names_of(path)


@pytest.mark.parametrize(("name", "path"), TOUCHED)
def test_what_is_to_be_touched_is_there(name: str, path: str) -> None:
    anywhere = {"feed", "processors", "must_see_id", "command"}
    assert name in names_of(path) | anywhere


def test_both_paths_have_six_stops_and_five_changes_are_told() -> None:
    for title in ("From a prompt to tokens", "From a source to a folder"):
        part = PAGE.split(f"## {title}")[1].split("##")[0]
        assert re.findall(r"^(\d)\.", part, re.MULTILINE) == list("123456")
    rows = PAGE.split("## Five changes")[1].split("|---|---|")[1].strip().split("\n\n")[0]
    assert rows.count("\n") == 4
    assert len(STOPS) >= 12 and len(TOUCHED) >= 12
