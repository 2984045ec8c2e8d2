"""The book's pages: the API page is what the docstrings say, and the index misses none."""

import re
from pathlib import Path

import pytest

from api_docs import PAGE, render

DOCS = Path(__file__).parent.parent / "docs"


def test_api_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == render(), "run scripts/api_docs.py"


def test_index_names_the_pages_of_the_book() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    for name in ("quickstart", "choosing", "thinking", "memory", "converting", "api"):
        assert f"({name}.md)" in index


PAGES = [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    here = [target for target in targets if "://" not in target]
    gone = [each for each in here if not (page.parent / each.partition("#")[0]).exists()]
    assert gone == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    assert [page.name for page in DOCS.glob("*.md") if f"({page.name})" not in index] == [
        "README.md"
    ]
