"""What a server's tool gave, as a text for the model: cut at a size, without what is no text."""

import json
from collections.abc import Sequence
from typing import Any

# Of a result's text; about 4,000 tokens of English.
RESULT_CHARACTERS = 16_000


def result_text(content: Sequence[Any], structured: Any, most: int = RESULT_CHARACTERS) -> str:
    """The text parts joined, else the structured result as JSON.

    A part that is none (an image, a sound, a resource) is named in its place, and what is cut off
    is counted, so that the model knows what it does not see.
    """
    parts = [_part(each) for each in content]
    if not parts and structured is not None:
        parts = [json.dumps(structured, ensure_ascii=False)]
    return cut("\n".join(parts), most)


def cut(text: str, most: int) -> str:
    """The text, or its beginning and how much there was."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[cut: the first {most:,} of {len(text):,} characters]"


def _part(part: Any) -> str:
    match part.type:
        case "text":
            return str(part.text)
        case "image" | "audio":
            return f"[left out: {part.type} ({part.mime_type}), and this model reads text only]"
        case "resource":
            return f"[left out: the resource {part.resource.uri}, which is not read here]"
        case "resource_link":
            return f"[left out: the resource {part.uri}, which is not read here]"
        case other:
            return f"[left out: a part of type {other}]"
