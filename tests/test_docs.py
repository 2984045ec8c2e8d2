"""The book's pages: the API page is what the docstrings say, and the index misses none."""

from pathlib import Path

from scripts.docs.api import PAGE, render

DOCS = Path(__file__).parent.parent / "docs"


def test_api_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == render(), "run scripts/docs/api.py"


def test_index_names_the_pages_of_the_book() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    for name in ("quickstart", "choosing", "thinking", "memory", "converting", "api"):
        assert f"({name}.md)" in index


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    assert [page.name for page in DOCS.glob("*.md") if f"({page.name})" not in index] == [
        "README.md"
    ]
