"""Build nano's tekken.json (v13): the 256 bytes and the whole words of the templates.

tiktoken looks a whole regex piece up before it merges anything, so a rank may be a word without the
merges that would lead to it. No listed token is reachable by merging (except letters such as `é`), so a
word that is not listed is spelled in bytes: easy to copy, and its letters can be counted.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mistral_common
import regex  # type: ignore[import-untyped]

VOCABULARY = 1024
CONTROLS = 64
_NAMED = {
    0: "<unk>", 1: "<s>", 2: "</s>", 3: "[INST]", 4: "[/INST]", 5: "[AVAILABLE_TOOLS]", 6: "[/AVAILABLE_TOOLS]",
    7: "[TOOL_RESULTS]", 8: "[/TOOL_RESULTS]", 9: "[TOOL_CALLS]", 10: "[IMG]", 11: "<pad>", 12: "[IMG_BREAK]",
    13: "[IMG_END]", 14: "[PREFIX]", 15: "[MIDDLE]", 16: "[SUFFIX]", 17: "[SYSTEM_PROMPT]", 18: "[/SYSTEM_PROMPT]",
    19: "[TOOL_CONTENT]", 32: "[ARGS]", 33: "[CALL_ID]", 34: "[THINK]", 35: "[/THINK]",
}  # fmt: skip

# Of JSON and of the answers, never of the scratch work.
_PUNCTUATION = ('":', '",', ' "', ' {"', '"}', '{"', "}$.", " $\\", '"},')


def write_tokenizer(
    path: Path, texts: Iterable[str], forced: Iterable[str], spelled: set[str]
) -> int:
    """Write the file; pieces of `forced` come first, then the most frequent ones. Returns the count.

    Words of `spelled` get no token: their letters are to be counted.
    """
    source = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    pattern = json.loads(source.read_text(encoding="utf-8"))["config"]["pattern"]
    splitter = regex.compile(pattern)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(splitter.findall(text))
    ranked = [piece for text in forced for piece in splitter.findall(text)]
    ranked += [piece for piece, _ in counts.most_common()]
    pieces = [piece for piece in dict.fromkeys(ranked) if _is_worth_a_token(piece)]
    pieces = [piece for piece in pieces if piece.strip(" '\"“«¿¡(").lower() not in spelled]
    tokens = [bytes([value]) for value in range(256)]
    tokens += [piece.encode() for piece in pieces][: VOCABULARY - CONTROLS - 256]
    assert len(tokens) == VOCABULARY - CONTROLS, f"only {len(tokens)} pieces in the corpus"
    document = {
        "config": {
            "pattern": pattern,
            "num_vocab_tokens": len(tokens),
            "default_vocab_size": VOCABULARY,
            "default_num_special_tokens": CONTROLS,
            "version": "v13",
        },
        "vocab": [_entry(rank, token) for rank, token in enumerate(tokens)],
        "special_tokens": [
            {"rank": rank, "token_str": _NAMED.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
            for rank in range(CONTROLS)
        ],
    }
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return len(pieces)


def _is_worth_a_token(piece: str) -> bool:
    """Words and single non-ASCII characters, never what merging bytes could reach by accident."""
    size = len(piece.encode())
    if len(piece) == 1:
        return size == 2
    if not any(c.isalpha() for c in piece):
        return piece in _PUNCTUATION
    if piece[0] in "|:":  # a spelled word behind a mark of the scratch work
        return False
    reachable_by_one_merge = size == 2 or (size <= 4 and not piece.isascii())
    return not reachable_by_one_merge


def _entry(rank: int, token: bytes) -> dict[str, Any]:
    try:
        text: str | None = token.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    return {"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": text}
