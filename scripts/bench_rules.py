#!/usr/bin/env python
"""What the rules cost a token: the loop guard, and the grammar's mask on host and device.

scripts/bench_rules.py [FOLDER]      (a folder with a tekken.json; nano's by default)
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx

from mlx_magistral.decode.rules.grammar import GrammarMask, answer_grammar
from mlx_magistral.decode.rules.guidance import make_guidance, make_matcher
from mlx_magistral.decode.rules.loop_guard import LoopGuard, OnLoop
from mlx_magistral.decode.rules.steering import Place
from mlx_magistral.hub import nano_folder
from mlx_magistral.text.reasoning import ParserState
from mlx_magistral.text.tokenizer import load_tokenizer

ROUNDS = 300
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def main() -> None:
    """Print microseconds a token, the median of each."""
    tokenizer = load_tokenizer(Path(sys.argv[1]) if len(sys.argv) > 1 else nano_folder())
    guard = LoopGuard(OnLoop.CLOSE, "", tokenizer.id_to_bytes)
    tokens = iter(tokenizer.encode("some words 12 that go on, and others. " * 9) * ROUNDS)
    place = Place(ParserState.CONTENT)
    started = time.perf_counter()
    guidance = make_guidance(tokenizer).vocabulary
    print(f"vocabulary of {tokenizer.vocab_size:,} for grammars: {_since(started):.2f} s, once")
    matcher = make_matcher(answer_grammar(tokenizer, schema=SCHEMA), guidance)
    matcher.consume_tokens(tokenizer.encode('{"name": "An'))
    words = mx.array(memoryview(matcher.compute_bitmask()).cast("I"))  # type: ignore[arg-type]
    logits = mx.random.normal((1, tokenizer.vocab_size))
    cases: dict[str, Callable[[], object]] = {
        "loop guard": lambda: guard.feed(next(tokens), place),
        "mask, host, inside a string": matcher.compute_bitmask,
        "mask, device": lambda: mx.eval(GrammarMask(words)(logits)),
    }
    for name, call in cases.items():
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            call()
            times.append(_since(started))
        print(f"{name:30} {sorted(times)[ROUNDS // 2] * 1e6:8.1f} µs")


def _since(started: float) -> float:
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
