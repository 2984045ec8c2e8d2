"""The requests that clients send, small and without anything personal, for the tests."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .cases import Outcome

# The conversation is whole after a tool's result, and after a second turn; so many tools are kept.
_KEPT = {"tool": 12, "second": 1}
_LONGEST_TEXT = 100
_SECRETS = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "an-id"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "a-hash"),
    (re.compile(r"/(?:root|home|tmp|Users)\b[^\s\"'<>,\\]*"), "/project"),
    (re.compile(r"Linux [\w.-]+"), "Linux"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "2026-01-01"),
    (re.compile(r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day,? \w+ \d+,? \d{4}"), "a day"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:8080"),
)
# Names of fields whose texts are not cut: what a request means hangs on them.
_WHOLE = ("type", "role", "name", "id", "call_id", "tool_call_id", "tool_use_id", "arguments")


def write_fixture(
    folder: Path, name: str, version: str, outcomes: Mapping[str, Outcome], place: Path
) -> None:
    """One file a client: the last request of each kind of conversation."""
    requests = []
    for case, most_tools in _KEPT.items():
        posts = [
            each
            for each in (outcomes[case].exchanges if case in outcomes else ())
            if each.path.startswith("POST /v1/") and each.status == 200
        ]
        if posts:
            longest = max(posts, key=lambda each: _length(each.body))
            body = cleaned(longest.body, str(place))
            if isinstance(body.get("tools"), list):
                body["tools"] = body["tools"][:most_tools]
            requests.append({"case": case, "path": longest.path.split()[1], "body": body})
    folder.mkdir(parents=True, exist_ok=True)
    document = {"client": name, "version": version, "requests": requests}
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", "utf-8")


def _length(body: Any) -> tuple[int, int]:
    """Of a conversation: its turns, then its text (tools are not sent with every turn)."""
    turns = body.get("messages") or body.get("input") or ()
    return len(turns), len(json.dumps(body))


def cleaned(value: Any, place: str, key: str = "") -> Any:
    """Short texts, and no ids, paths or dates of the machine it was made on."""
    if isinstance(value, dict):
        return {name: cleaned(inner, place, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [cleaned(each, place, key) for each in value]
    if not isinstance(value, str):
        return value
    text = value.replace(place, "/project")
    for pattern, plain in _SECRETS:
        text = pattern.sub(plain, text)
    if len(text) > _LONGEST_TEXT and key not in _WHOLE:
        text = text[:_LONGEST_TEXT] + "…"
    return text
