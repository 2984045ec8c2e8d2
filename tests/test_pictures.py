"""Pictures are not older than what they show: their words and their page are the program's.

To make them again: scripts/pictures/make.py.
"""

import hashlib
import json
import re
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "pictures"
MADE = json.loads((FOLDER / "made.json").read_text("utf-8"))
CODE = "\n".join(
    path.read_text("utf-8")
    for folder, pattern in (
        ("chat", "*.py"),
        ("terminal", "*.py"),
        ("cli/commands", "chat.py"),
        ("server/page", "*.js"),
        ("server/page", "*.html"),
    )
    for path in sorted((ROOT / "mlx_magistral" / folder).glob(pattern))
)


@pytest.mark.parametrize("name", MADE)
def test_what_a_picture_says_the_program_still_says(name: str) -> None:
    for words in MADE[name]["shows"]:
        assert words in CODE, f"{name} shows {words!r}: run scripts/pictures/make.py"


@pytest.mark.parametrize("name", MADE)
def test_the_pages_colours_are_those_of_the_picture(name: str) -> None:
    for source, digest in MADE[name].get("sources", {}).items():
        found = hashlib.sha256((ROOT / source).read_bytes()).hexdigest()[:16]
        assert found == digest, f"{source} has changed since: run scripts/pictures/make.py page"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.svg")), ids=lambda path: path.name)
def test_drawings_show_what_was_noted_and_are_small(path: Path) -> None:
    text = path.read_text("utf-8")
    ElementTree.fromstring(text)
    said = unescape(re.sub(r"<[^>]*>", "", text))
    assert all(words in said for words in MADE[path.name]["shows"])
    assert "prefers-color-scheme:dark" in text and "prefers-reduced-motion" in text
    assert path.stat().st_size < 100_000
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


def test_every_picture_is_noted_and_used() -> None:
    pages = "".join(
        page.read_text("utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    )
    names = {path.name for path in FOLDER.iterdir()} - {"made.json"}
    assert names == set(MADE)
    assert all(f"pictures/{name}" in pages for name in names)
