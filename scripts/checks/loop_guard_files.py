#!/usr/bin/env python3
"""The loop guard on files that people wrote: each is honest, so every alarm is a false one.

Reads the text files under the folders given (code, markup, data, prose, as their suffixes say), at
most so many of a suffix, and feeds each as an answer and as thinking under an empty prompt.

    scripts/checks/loop_guard_files.py FOLDER ... [--files 300] [--seconds 600]
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / part) for part in ("tests", "scripts/bench")]

from loop_texts.labelled import CONTENT, REASONING, LoopText  # noqa: E402

from full_tekken import write_full_tekken  # noqa: E402
from loop_guard import judge  # noqa: E402
from mlx_magistral.text.tokenizer import load_tokenizer  # noqa: E402

_SUFFIXES = (
    ".py .pyi .c .h .hpp .cpp .cu .js .css .html .xml .svg .json .yaml .yml .toml .csv .sh .md "
    ".rst .txt .po"
).split()
_LEAST_BYTES, _MOST_BYTES = 2_000, 200_000
_READ_CHARACTERS = 60_000


def main() -> None:
    """Print what was read and cut by suffix, and each alarm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--files", type=int, default=300, help="at most so many of a suffix")
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as made:
        tokenizer = load_tokenizer(write_full_tekken(Path(made)))
    files, tokens, cut = Counter[str](), Counter[str](), Counter[str]()
    for path in chosen(options.folders, options.files):
        if time.monotonic() > end:
            break
        try:
            text = path.read_text("utf-8")[:_READ_CHARACTERS]
        except (OSError, UnicodeDecodeError):
            continue
        files[path.suffix] += 1
        for state in (CONTENT, REASONING):
            row = judge(tokenizer, LoopText("file", path.name, state, "", text))
            tokens[path.suffix] += row.tokens
            if row.found:
                cut[path.suffix] += 1
                print(f"cut after {row.found} ids, {state.name.lower()}: {path}", flush=True)
    for suffix in sorted(files):
        print(f"{suffix:6}{files[suffix]:6} files{tokens[suffix]:12,} ids{cut[suffix]:4} cut")
    print(f"all   {files.total():6} files{tokens.total():12,} ids{cut.total():4} cut")


def chosen(folders: Sequence[Path], most: int) -> Iterator[Path]:
    """Files of all suffixes in turn, in an order that is the same each time."""
    found = defaultdict(list)
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        if path.suffix in _SUFFIXES and path.is_file() and not path.is_symlink():
            if _LEAST_BYTES < path.stat().st_size < _MOST_BYTES:
                found[path.suffix].append(path)
    rng = random.Random(3)
    ranked = []
    for suffix, paths in sorted(found.items()):
        rng.shuffle(paths)
        ranked += [
            (rank / min(len(paths), most), suffix, path) for rank, path in enumerate(paths[:most])
        ]
    return (path for _, _, path in sorted(ranked))


if __name__ == "__main__":
    main()
