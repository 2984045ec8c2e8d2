"""What stands in a tool's result for what a model of text cannot see: one line, never a gap.

A tool that reads an image or a PDF must not end the conversation. Text inside other kinds of parts
(a document's own text, a search result) is kept as text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_KINDS = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "document": "document",
    "file": "file",
    "input_file": "file",
    "input_audio": "audio",
    "audio": "audio",
    "audio_url": "audio",
    "video_url": "video",
    "resource": "file",
    "resource_link": "link",
}
_TEXTS = ("text", "input_text", "output_text", "refusal")


def result_text(content: Any) -> str | None:
    """A tool's result as one text; None for what is neither a text nor a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return None
    texts = [part if isinstance(part, str) else part_text(part) for part in content]
    return "\n\n".join(text for text in texts if text)


def part_text(part: Any) -> str:
    """The text of a part, whatever it is; a line that names it where it has none."""
    if not isinstance(part, Mapping):
        return f"[part of type {type(part).__name__}, which this model cannot read]"
    kind = part.get("type")
    if kind in _TEXTS:
        text = part.get("refusal" if kind == "refusal" else "text")
        return text if isinstance(text, str) else ""
    if kind == "tool_reference":
        return f"Tool: {part.get('tool_name')}"
    return document_text(part) or placeholder(part)


def document_text(part: Mapping[str, Any]) -> str | None:
    """The text that a document, a search result or a resource carries; None where it is no text."""
    source = part.get("resource") or part.get("source")
    head = [part[key] for key in ("title", "context") if isinstance(part.get(key), str)]
    text: str | None = None
    if part.get("type") == "search_result":
        head += [source] if isinstance(source, str) else []
        text = result_text(part.get("content"))
    elif isinstance(source, Mapping):
        if source.get("type") == "text" and isinstance(source.get("data"), str):
            text = source["data"]
        elif source.get("type") == "content":
            text = result_text(source.get("content"))
        elif isinstance(source.get("text"), str):
            text = source["text"]
    return None if text is None else "\n".join([*head, text])


def placeholder(part: Mapping[str, Any]) -> str:
    """One line with the kind, the media type and the size of what is not shown."""
    kind = str(part.get("type"))
    facts = [each for each in (_name(part), _media_type(part), _size(part)) if each]
    named = (
        ": ".join([_KINDS.get(kind, kind), ", ".join(facts)]) if facts else _KINDS.get(kind, kind)
    )
    return f"[{named}. Not shown: this model reads text only.]"


def _media_type(part: Mapping[str, Any]) -> str | None:
    for place in (part.get("source"), part.get("resource"), part):
        if isinstance(place, Mapping):
            for key in ("media_type", "mimeType", "mime_type"):
                if isinstance(place.get(key), str):
                    return str(place[key])
    address = _address(part)
    if address.startswith("data:"):
        return address[5:].partition(",")[0].partition(";")[0] or None
    return None


def _size(part: Mapping[str, Any]) -> str | None:
    """Of the bytes that base64 stands for."""
    address = _address(part)
    data = address.partition(",")[2] if address.startswith("data:") else _data(part)
    if not data:
        return None
    count = len(data) * 3 // 4 - data[-2:].count("=")
    return f"{count:,} bytes" if count < 10_000 else f"{count / 1000:,.0f} kB"


def _name(part: Mapping[str, Any]) -> str | None:
    file = part.get("file")
    places = (part, file) if isinstance(file, Mapping) else (part,)
    for place in places:
        for key in ("filename", "title", "name", "uri"):
            if isinstance(place.get(key), str) and place[key]:
                return str(place[key])
    address = _address(part)
    return None if address.startswith("data:") else address[:200] or None


def _address(part: Mapping[str, Any]) -> str:
    """A URL, of data or of a place; empty where there is none."""
    for key in ("image_url", "file_data", "file_url", "audio_url", "video_url", "file", "source"):
        value = part.get(key)
        if isinstance(value, Mapping):
            value = value.get("url") or value.get("file_data")
        if isinstance(value, str) and value:
            return value
    return ""


def _data(part: Mapping[str, Any]) -> str:
    """Bare base64."""
    for place in (part.get("source"), part.get("input_audio"), part.get("resource"), part):
        if isinstance(place, Mapping):
            for key in ("data", "blob"):
                if isinstance(place.get(key), str):
                    return str(place[key])
    return ""
