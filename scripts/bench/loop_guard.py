#!/usr/bin/env python
"""The loop guard on its labelled set, by kind: honest texts that it cuts, loops that it misses.

scripts/bench/loop_guard.py [FOLDER] [--json]   (FOLDER has a tekken.json; Magistral's vocabulary
by default, as mistral-common ships it)
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / part) for part in ("", "tests", "scripts/bench")]

from loop_texts import TEXTS, LoopText  # noqa: E402

from full_tekken import write_full_tekken  # noqa: E402
from mlx_magistral.decode.rules.loop_guard import LoopGuard, OnLoop  # noqa: E402
from mlx_magistral.decode.rules.steering import Place  # noqa: E402
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer  # noqa: E402


@dataclass(frozen=True)
class Row:
    """One text: how many ids it has, and after how many the guard spoke up, if it did."""

    text: LoopText
    tokens: int
    found: int | None

    @property
    def is_wrong(self) -> bool:
        return self.text.is_loop == (self.found is None)


def main() -> None:
    """Print both error rates by kind, and the texts that were judged wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--json", action="store_true", dest="is_json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        tokenizer = load_tokenizer(arguments.folder or write_full_tekken(Path(made)))
    rows = [judge(tokenizer, text) for text in TEXTS]
    print(json.dumps(as_json(rows)) if arguments.is_json else table(rows))


def judge(tokenizer: Tokenizer, text: LoopText) -> Row:
    """Feed a text to a guard of its own."""
    guard = LoopGuard(OnLoop.CLOSE, text.prompt, tokenizer.id_to_bytes)
    guard.feed(0, Place(text.state))
    tokens = tokenizer.encode(text.text)
    found = (
        count
        for count, token in enumerate(tokens, 1)
        if guard.feed(token, Place(text.state)) is not None
    )
    return Row(text, len(tokens), next(found, None))


def table(rows: Sequence[Row]) -> str:
    """Two tables, of honest texts and of loops, and what was judged wrong."""
    lines = []
    for is_loop, title, wrong in ((False, "honest", "cut"), (True, "loop", "missed")):
        chosen = [row for row in rows if row.text.is_loop == is_loop]
        lines.append(f"{title:22}{'texts':>6} {wrong:>7}{'  ids until found' if is_loop else ''}")
        for kind in dict.fromkeys(row.text.kind for row in chosen):
            lines.append(_line(kind, [row for row in chosen if row.text.kind == kind], is_loop))
        lines += [_line("all", chosen, is_loop), ""]
    lines += [f"wrong: {row.text.kind}, {row.text.name}" for row in rows if row.is_wrong]
    return "\n".join(lines).rstrip()


def as_json(rows: Sequence[Row]) -> dict[str, object]:
    """``ratio`` is the share of honest texts that are cut."""
    honest = [row for row in rows if not row.text.is_loop]
    return {
        "ratio": sum(row.is_wrong for row in honest) / len(honest),
        "missed": sum(row.is_wrong for row in rows if row.text.is_loop),
        "cases": [
            {
                "kind": row.text.kind,
                "name": row.text.name,
                "is_loop": row.text.is_loop,
                "tokens": row.tokens,
                "found": row.found,
            }
            for row in rows
        ],
    }


def _line(kind: str, rows: Sequence[Row], is_loop: bool) -> str:
    found = [row.found for row in rows if row.found is not None]
    ids = f"  {statistics.median(found):.0f} (median)" if is_loop and found else ""
    return f"{kind:22}{len(rows):>6} {sum(row.is_wrong for row in rows):>7}{ids}"


if __name__ == "__main__":
    main()
