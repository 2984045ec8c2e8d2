"""A batch's input: one request a line, in OpenAI's form or bare.

    {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [...]}}
    {"messages": [{"role": "user", "content": "What is 37 + 48?"}], "temperature": 0}
    {"prompt": "What is 37 + 48?"}

A line that cannot be read becomes a RequestLine that says why, so that the others go on.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlx_magistral.errors import RunError, UsageError

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


@dataclass(frozen=True)
class RequestLine:
    """A request; ``problem`` is why it is none. ``id`` is of this very line, and names its answer.

    ``custom_id`` is the caller's, or ``line-3`` where the third line has none.
    """

    number: int
    id: str
    custom_id: str
    url: str = CHAT
    body: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


def read_requests(path: Path) -> list[RequestLine]:
    """All lines but empty ones. Raises RunError where the file cannot be read or has none."""
    try:
        texts = path.read_bytes().splitlines()
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}).") from error
    lines: list[RequestLine] = []
    known: dict[str, int] = {}
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        line = _read(number, text.strip())
        first = known.setdefault(line.custom_id, number)
        if first != number:
            line = _refused(number, text, line.custom_id, f"line {first} has the same custom_id")
        lines.append(line)
    if not lines:
        raise RunError(f"{path} is empty. A batch is a file with one JSON object a line.")
    return lines


def refuse_same_file(source: Path, target: Path) -> None:
    """Raise UsageError where the answers would be written into the requests."""
    if source.exists() and target.exists() and source.samefile(target):
        raise UsageError(f"{target} is the input itself. Name another file for the answers.")


def _read(number: int, text: bytes) -> RequestLine:
    fallback = f"line-{number}"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _refused(number, text, fallback, "it is no JSON")
    if not isinstance(value, dict):
        return _refused(number, text, fallback, f"it is a {_kind(value)}, not an object")
    custom_id = value.pop("custom_id", fallback)
    if not isinstance(custom_id, str) or not custom_id:
        return _refused(number, text, fallback, "custom_id is no text")
    try:
        url, body = _request(value)
    except ValueError as error:
        return _refused(number, text, custom_id, str(error))
    return RequestLine(number, _id(text), custom_id, url, body)


def _request(value: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Where the request goes and what it says; raises ValueError with the reason."""
    if "body" not in value:
        if "messages" in value:
            return CHAT, value
        if "prompt" in value:
            prompt = value.pop("prompt")
            return CHAT, {**value, "messages": [{"role": "user", "content": prompt}]}
        raise ValueError("it has no body, no messages and no prompt")
    for name in value:
        if name not in ("method", "url", "body"):
            raise ValueError(f"it has a key {name!r} beside custom_id, method, url and body")
    method, url, body = value.get("method", "POST"), value.get("url", CHAT), value["body"]
    if method != "POST":
        raise ValueError(f"its method is {method!r}, not POST")
    if url not in (CHAT, COMPLETIONS):
        raise ValueError(f"its url is {url!r}; supported are {CHAT} and {COMPLETIONS}")
    if not isinstance(body, dict):
        raise ValueError(f"its body is a {_kind(body)}, not an object")
    return url, body


def _refused(number: int, text: bytes, custom_id: str, why: str) -> RequestLine:
    # By its place too: the same line twice has two answers.
    return RequestLine(
        number,
        _id(b"%d %b" % (number, text)),
        custom_id,
        problem=f"Line {number} is no request: {why}.",
    )


def _id(text: bytes) -> str:
    return f"batch_req_{hashlib.sha256(text).hexdigest()[:24]}"


def _kind(value: Any) -> str:
    kinds = {list: "list", str: "text", bool: "truth value", int: "number", float: "number"}
    return kinds.get(type(value), "null")
