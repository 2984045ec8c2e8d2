"""A conversation as one HTML file, drawn by the chat page's own code, which it carries along.

It asks nobody for anything: styles and scripts stand in the file, and its policy allows no other.
The chat page makes the same file from ``template()``; here ``saved_page`` fills it.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

# The page's files are read as files: the server's code is a floor above.
FOLDER = Path(__file__).parents[1] / "server" / "page"
_MARKDOWN, _FORMULAS, _CODE = (
    ("vendor/markdown-it.min.js",),
    ("vendor/temml.css", "vendor/temml.min.js"),
    ("vendor/highlight.min.js",),
)
_STYLES = ("colours.css", "reading.css")
# In the order in which they need each other.
_MODULES = ("dom", "figures", "clipboard", "code", "markdown", "article", "saved")
_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


def saved_page(title: str, messages: Sequence[dict[str, Any]], text: str) -> str:
    """The file; ``messages`` are as the page keeps them, ``text`` is for readers without scripts.

    A message is {role: "user", content} or {role: "assistant", reasoning, content, finish, figures,
    calls}; figures and calls are those of article.js.
    """
    # "</script>" in a message would end the script that holds it.
    data = json.dumps({"messages": list(messages)}, ensure_ascii=False).replace("<", "\\u003c")
    parts = {"TITLE": html.escape(title), "TEXT": html.escape(text), "MESSAGES": data}
    has_formulas = any(sign in text for sign in ("$", "\\(", "\\["))
    return _filled(template(has_formulas, "```" in text or "~~~" in text), parts)


@cache
def template(has_formulas: bool = True, has_code: bool = True) -> str:
    """The file without a conversation: %%TITLE%%, %%MESSAGES%% and %%TEXT%% are to be filled in.

    The libraries are most of it: those for what a conversation has not are left out.
    """
    libraries = _MARKDOWN + _FORMULAS * has_formulas + _CODE * has_code
    scripts = [_read(name) for name in libraries if name.endswith(".js")] + [_joined_modules()]
    styles = [name for name in libraries if name.endswith(".css")]
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    parts = {
        "POLICY": f"default-src 'none'; style-src 'unsafe-inline'; script-src {hashes}",
        "STYLES": "".join(_read(name) for name in (*styles, *_STYLES)),
        "SCRIPTS": "".join(f"<script>{script}</script>\n" for script in scripts),
    }
    return _filled(_read("saved.html"), parts)


def _joined_modules() -> str:
    """The page's modules as one script: their names are distinct, and a test runs it."""
    texts = [_EXPORT.sub("", _IMPORT.sub("", _read(f"{name}.js"))) for name in _MODULES]
    return "(() => {\n" + "\n".join(texts) + "})();\n"


def _read(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _filled(text: str, parts: dict[str, str]) -> str:
    """All places at once, so that nothing that is filled in is filled again."""
    return re.sub(r"%%([A-Z]+)%%", lambda found: parts.get(found[1], found[0]), text)
