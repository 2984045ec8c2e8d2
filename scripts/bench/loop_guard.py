#!/usr/bin/env python
"""The loop guard on its labelled set, as a table: repeats until a loop is found, false alarms.

scripts/bench/loop_guard.py FOLDER      (any folder with a tekken.json)
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / part) for part in ("", "tests")]

from loop_texts import legitimate, loops  # noqa: E402

from mlx_magistral.decode.rules.loop_guard import LoopGuard, OnLoop  # noqa: E402
from mlx_magistral.decode.rules.steering import Place  # noqa: E402
from mlx_magistral.hub.resolve import nano_folder  # noqa: E402
from mlx_magistral.text.reasoning import ParserState  # noqa: E402
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer  # noqa: E402


def main() -> None:
    """Print both halves of the set, for thinking and for answers."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else nano_folder()
    tokenizer = load_tokenizer(folder)
    for state in (ParserState.REASONING, ParserState.CONTENT):
        print(f"{state.name.lower()}: ids until found")
        for name, (start, block) in loops().items():
            tokens = tokenizer.encode(start + "".join(block(n) for n in range(8)))
            found = first_alarm(tokenizer, "", tokens, state)
            first = len(tokenizer.encode(start))
            period = (len(tokens) - first) / 8
            repeats = f"{(found - first) / period:.1f} repeats" if found else "not found"
            print(f"  {name:44} {period:6.1f} ids  {repeats}")
        alarms = [
            name
            for name, (prompt, text) in legitimate().items()
            if first_alarm(tokenizer, prompt, tokenizer.encode(text), state)
        ]
        print(f"  false alarms: {len(alarms)} of {len(legitimate())} {alarms or ''}")


def first_alarm(
    tokenizer: Tokenizer, prompt: str, tokens: list[int], state: ParserState
) -> int | None:
    """How many ids it takes the guard to speak up."""
    guard = LoopGuard(OnLoop.CLOSE, prompt, tokenizer.id_to_bytes)
    guard.feed(0, Place(state))
    for count, token in enumerate(tokens, 1):
        if guard.feed(token, Place(state)) is not None:
            return count
    return None


if __name__ == "__main__":
    main()
