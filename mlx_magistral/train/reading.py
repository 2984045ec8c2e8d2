"""Records of training data: JSONL files, folders of them, and what other commands wrote.

A record is one line's object with its place, not yet encoded:

    {"messages": [...], "tools": [...]}   a chat in OpenAI's shape
    {"prompt": str, "completion": str}    one question and its answer
    {"text": str}                         a document, learned whole
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import TrainingError
from mlx_magistral.train.encoding import FinetuningEncoder
from mlx_magistral.train.example import Example

TRAIN_FILE, VALID_FILE = "train.jsonl", "valid.jsonl"
_SHAPES = '{"messages": [...]}, {"prompt", "completion"} or {"text"}'


@dataclass(frozen=True)
class Record:
    """One object of a data file; ``place`` is FILE:LINE."""

    content: Mapping[str, Any]
    place: str


def read_file(path: Path) -> Iterator[Record]:
    """The records of a JSONL file; raises TrainingError naming file and line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            content = json.loads(line)
        except ValueError as error:
            raise TrainingError(f"{place} is no JSON: {error}. One object a line.") from error
        if not isinstance(content, dict):
            raise TrainingError(f"{place} is no object. Give {_SHAPES} a line.")
        yield Record(content, place)


def read_data(paths: Iterable[Path]) -> tuple[list[Record], list[Record]]:
    """Records to train on and to validate on; the second come from folders with a valid.jsonl."""
    train: list[Record] = []
    valid: list[Record] = []
    for path in paths:
        if not path.is_dir():
            train += read_file(path)
            continue
        if not (path / TRAIN_FILE).is_file():
            raise TrainingError(f"{path} has no {TRAIN_FILE}. Name the files instead.")
        train += read_file(path / TRAIN_FILE)
        if (path / VALID_FILE).is_file():
            valid += read_file(path / VALID_FILE)
    return train, valid


def encode_records(records: Iterable[Record], encoder: FinetuningEncoder) -> Iterator[Example]:
    """The examples of records, in order; raises TrainingError naming the place."""
    for record in records:
        yield _encode(record, encoder)


def _encode(record: Record, encoder: FinetuningEncoder) -> Example:
    content, place = record.content, record.place
    messages = content.get("messages")
    if messages is not None:
        return encoder.chat(messages, content.get("tools"), place)
    if "prompt" in content and "completion" in content:
        return encoder.chat(_asked(content["prompt"], content["completion"]), None, place)
    if isinstance(content.get("text"), str):
        return encoder.text(content["text"], place)
    raise TrainingError(f"{place} has {_named(content)}. Give {_SHAPES}.")


def _asked(prompt: Any, completion: Any) -> Sequence[Any]:
    """Question and answer as messages; either may be messages already."""
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    said = [{"role": "assistant", "content": completion}]
    if not isinstance(completion, str):
        said = completion
    if not isinstance(asked, list) or not isinstance(said, list):
        return [{"role": "user", "content": prompt}]
    return [*asked, *said]


def _named(content: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, content)) if content else "no keys"
