"""What was computed for a session: the KV prefixes on disk that hold its questions.

An entry is the session's if every question in it is one of the session's, taken back ones too, and
no other session has asked them all. Questions are compared as ids.
"""

from collections.abc import Iterator, Sequence

from mlx_magistral.chat.sessions import SessionStore
from mlx_magistral.hub.resolve import NANO, require_local
from mlx_magistral.hub.tokenizer_source import find_tokenizer
from mlx_magistral.memory.prefixes.disk import PrefixDisk
from mlx_magistral.memory.prefixes.index import DiskEntry
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer


def entries_of(store: SessionStore, name: str, disk: PrefixDisk) -> list[DiskEntry]:
    """The entries that are the session's alone.

    Raises SessionError, and MagistralError where its model's tokenizer cannot be found.
    """
    entries = disk.entries()
    questions = store.questions(name)
    if not entries or not questions:
        return []
    tokenizer = _tokenizer(store.read(name).model)
    texts = {tuple(tokenizer.encode(text)): text for text in questions}
    others = [store.questions(other) for other in store.names() if other != name]
    others = [each for each in others if each & questions]
    found = []
    for entry in entries:
        spans = list(_questions(entry.tokens, tokenizer))
        asked = {texts.get(span) for span in spans}
        is_shared = any(asked <= other for other in others)
        if spans and None not in asked and not is_shared:
            found.append(entry)
    return found


def _questions(tokens: Sequence[int], tokenizer: Tokenizer) -> Iterator[tuple[int, ...]]:
    """The ids of each user message."""
    begin, end = tokenizer.control_id("[INST]"), tokenizer.control_id("[/INST]")
    start: int | None = None
    for place, token in enumerate(tokens):
        if token == begin:
            start = place + 1
        elif token == end and start is not None:
            yield tuple(tokens[start:place])
            start = None
    if start is not None:
        yield tuple(tokens[start:])


def _tokenizer(model: str | None) -> Tokenizer:
    folder = require_local(model or NANO)
    return load_tokenizer(folder, find_tokenizer(folder))
