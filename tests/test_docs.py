"""The book's pages: the API page is what the docstrings say, and the index misses none."""

import inspect
import json
import re
import sys
from enum import Enum
from pathlib import Path

import pytest

from mlx_magistral import ReplyOptions, errors, events
from scripts.docs.api import PAGE, render

DOCS = Path(__file__).parent.parent / "docs"


def test_api_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == render(), "run scripts/docs/api.py"


def test_api_page_has_every_field_event_enum_keyword_and_error() -> None:
    page = PAGE.read_text("utf-8")
    for module in (events, errors):
        for name, value in vars(module).items():
            if not inspect.isclass(value) or value.__module__ != module.__name__:
                continue
            assert f"### {name}\n" in page
            part = page.split(f"### {name}\n")[1].split("\n#")[0]
            own = value.__dict__.get("__annotations__", {})
            named = [each.value for each in value] if issubclass(value, Enum) else own
            for each in named:
                assert f"| `{each}` |" in part or f"`{each}`" in part, f"{name}.{each}"
    for keyword in ReplyOptions.__annotations__:
        assert f"| `{keyword}` |" in page


@pytest.mark.parametrize("page", ["python.md", "mcp.md"])
def test_examples_of_a_page_run_one_after_the_other(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = DOCS.parent / "tests" / "mcp" / "tiny_server.py"
    tiny = {"command": sys.executable, "args": [str(server)]}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"tiny": tiny}}))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL):
        exec(compile(block, page, "exec"), names)


def test_index_names_the_pages_of_the_book() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    for name in ("quickstart", "choosing", "thinking", "memory", "converting", "api"):
        assert f"({name}.md)" in index


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    assert [page.name for page in DOCS.glob("*.md") if f"({page.name})" not in index] == [
        "README.md"
    ]
