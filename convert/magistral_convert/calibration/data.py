"""Text and conversations to the token sequences that calibration and comparison run on.

A file is plain text, or JSONL with one of {"messages": [...]}, {"text": ...}, {"tokens": [ids]} a
line, and "kind" beside it where a comparison should tell that kind of text from others. Documents
are joined and cut into rows of one length; a rest shorter than a row is dropped.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from magistral_convert.sources.layer_weights import TokenArray
from mlx_magistral.errors import ConversionError, MagistralError
from mlx_magistral.text.tokenizer import Tokenizer

SEQUENCE_TOKENS = 1024
_HELD_OUT_EVERY = 8
_HELD_OUT_ROWS = 8


KindArray = npt.NDArray[np.str_]
# What a document is where it does not say so itself.
_KINDS = {"messages": "conversations", "text": "text", "tokens": "tokens"}


@dataclass(frozen=True)
class TokenText:
    """Rows of token ids, and which kind of text each id is from."""

    tokens: TokenArray  # (N, L)
    kinds: KindArray  # the same shape


@dataclass(frozen=True)
class CalibrationText:
    """Token ids to calibrate on and to measure on, no row in both, and the hash of all."""

    calibration: TokenArray  # (N, L)
    held_out: TokenArray  # (M, L)
    held_out_kinds: KindArray | None = None  # (M, L)

    @classmethod
    def split(cls, text: TokenText) -> "CalibrationText":
        """Hold out every eighth row, eight at most; a single row has to serve for both."""
        rows = text.tokens.shape[0]
        out = list(range(rows - 1, -1, -_HELD_OUT_EVERY))[:_HELD_OUT_ROWS]
        kept = [row for row in range(rows) if row not in out] or out
        return cls(text.tokens[kept], text.tokens[out], text.kinds[out])

    @property
    def sha256(self) -> str:
        """Hash of the ids: another text is another conversion."""
        digest = hashlib.sha256()
        for part in (self.calibration, self.held_out):
            digest.update(repr(part.shape).encode() + part.tobytes())
        return digest.hexdigest()


def read_documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a file, not yet encoded. Raises ConversionError naming file and line."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(f"{path} cannot be read as UTF-8 text: {error}.") from error
    if path.suffix not in (".jsonl", ".ndjson"):
        return [{"text": text}]
    documents = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except ValueError as error:
            raise ConversionError(f"{path} line {number} is no JSON: {error}.") from error
        if not isinstance(document, dict) or not {"messages", "text", "tokens"} & document.keys():
            raise ConversionError(
                f'{path} line {number} has none of "messages", "text" and "tokens".'
            )
        documents.append(document)
    return documents


def token_sequences(
    documents: list[dict[str, Any]],
    tokenizer: Tokenizer | None,
    *,
    limit: int,
    length: int = SEQUENCE_TOKENS,
) -> TokenText:
    """Rows (N, L) of at most ``limit`` ids in all; one shorter row where there are fewer than L.

    Raises ConversionError where a document cannot be encoded, or text comes without a tokenizer.
    """
    tokens: list[int] = []
    kinds: list[str] = []
    for number, document in enumerate(documents, start=1):
        try:
            tokens.extend(_encode(document, tokenizer))
        except MagistralError as error:
            raise ConversionError(f"Document {number} cannot be encoded: {error}") from error
        kinds += [_kind(document)] * (len(tokens) - len(kinds))
        if len(tokens) >= limit:
            break
    if len(tokens) < 2:
        raise ConversionError("The calibration text holds no tokens. Give a longer one.")
    length = min(length, len(tokens), limit)
    rows = min(len(tokens), limit) // length
    ids = np.array(tokens[: rows * length], np.int64)
    return TokenText(
        ids.reshape(rows, length), np.array(kinds[: rows * length]).reshape(rows, length)
    )


def _kind(document: dict[str, Any]) -> str:
    own = document.get("kind")
    return own if isinstance(own, str) else next(_KINDS[key] for key in _KINDS if key in document)


def _encode(document: dict[str, Any], tokenizer: Tokenizer | None) -> Iterator[int]:
    if "tokens" in document:
        yield from document["tokens"]
        return
    if tokenizer is None:
        raise ConversionError(
            "there is no tekken.json to encode text with. Give --tokenizer, or a file of "
            '{"tokens": [ids]} lines.'
        )
    if "text" in document:
        yield tokenizer.bos_id
        yield from tokenizer.encode(document["text"])
        return
    yield from _encode_conversation(list(document["messages"]), tokenizer)


def _encode_conversation(messages: list[Any], tokenizer: Tokenizer) -> Iterator[int]:
    """The prompt through mistral-common, then the last answer as the model itself writes it.

    The tokenizer encodes prompts only, which end with a question; an answer in front of that is
    history and comes without its reasoning, as it does when the model runs.
    """
    answer = messages.pop() if messages and messages[-1].get("role") == "assistant" else None
    yield from tokenizer.encode_chat(messages)
    if answer is None:
        return
    reasoning = answer.get("reasoning") or answer.get("reasoning_content")
    if reasoning:
        yield tokenizer.control_id("[THINK]")
        yield from tokenizer.encode(reasoning)
        yield tokenizer.control_id("[/THINK]")
    yield from tokenizer.encode(answer.get("content") or "")
    yield tokenizer.eos_id
