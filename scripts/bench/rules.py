#!/usr/bin/env python
"""What the rules cost a token: the loop guard, and the grammar's mask on host and device.

Then nano decodes with a schema and without, in turn: what a masked token takes longer, and how
much of the mask's work is hidden behind the model's pass, which runs while the mask is made.

scripts/bench/rules.py [FOLDER]      (a folder with a tekken.json; nano's by default)
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx

from mlx_magistral import Magistral
from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.rules.control import ControlOptions, think_tokens
from mlx_magistral.decode.rules.grammar import GrammarMask, answer_grammar
from mlx_magistral.decode.rules.guidance import Guidance, make_guidance, make_matcher
from mlx_magistral.decode.rules.loop_guard import LoopGuard, OnLoop
from mlx_magistral.decode.rules.steering import Place, Steering
from mlx_magistral.decode.rules.structure import structure_rules
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.caches import make_cache
from mlx_magistral.text.reasoning import ParserState, ReasoningParser
from mlx_magistral.text.tokenizer import load_tokenizer

ROUNDS = 300
PAIRS, IDS = 15, 32
LONG = {"type": "array", "items": {"type": "string"}, "minItems": 500}
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


def compare_decode() -> None:
    """Print milliseconds a token with a schema and without, medians over pairs of short runs."""
    model = Magistral.load("nano")
    prompt = model.tokenizer.encode_chat("What is 37 + 48?", thinking="skip")
    guidance = make_guidance(model.tokenizer)
    pairs = []
    for index in range(PAIRS + 1):
        schemas = (LONG, None) if index % 2 else (None, LONG)
        runs = {schema is None: _decode(model, prompt, schema, guidance) for schema in schemas}
        pairs.append((runs[True], runs[False]))
    del pairs[0]  # warms up
    free = statistics.median(each.seconds for each, _ in pairs)
    masked = statistics.median(each.seconds for _, each in pairs)
    added = statistics.median(under.seconds - plain.seconds for plain, under in pairs)
    host = statistics.median(under.rules_s - plain.rules_s for plain, under in pairs)
    device = statistics.median(under.mask_s for _, under in pairs)
    hidden = max(0.0, 1 - added / (host + device))
    print(f"nano, free                     {free * 1e3:8.3f} ms a token")
    print(f"nano, under a schema           {masked * 1e3:8.3f} ms a token")
    print(f"added, median of pairs         {added * 1e3:8.3f} ms, {added / free:.1%}")
    print(f"the mask alone, host           {host * 1e3:8.3f} ms")
    print(f"the mask alone, device         {device * 1e3:8.3f} ms; {hidden:.0%} of both hidden")


class Run(NamedTuple):
    """Seconds an id: in all, in the rules on the host, and of the mask on the device alone."""

    seconds: float
    rules_s: float
    mask_s: float


class TimedSteering(Steering):
    """Adds up the time that its rules take."""

    rules_s = 0.0

    def feed(self, *arguments: Any) -> None:
        started = time.perf_counter()
        super().feed(*arguments)
        self.rules_s += _since(started)


def _decode(
    model: Magistral, prompt: list[int], schema: dict[str, Any] | None, guidance: Guidance
) -> Run:
    control, tokenizer = ControlOptions(schema=schema), model.tokenizer
    rules = structure_rules(control, tokenizer, [], "skip", lambda: guidance, 10**6)
    steering = TimedSteering(ReasoningParser(tokenizer), think_tokens(control, tokenizer), rules)
    cache = make_cache(model.model)
    logits = prefill(model.model, prompt, cache)
    assert logits is not None
    ids = decode(
        model.model,
        logits,
        cache,
        Sampler(SamplingOptions(seed=1), prompt, tokenizer.vocab_size),
        max_tokens=IDS + 1,
        stop_tokens=frozenset(),
        steering=steering,
    )
    next(ids)
    steering.rules_s = 0.0
    started = time.perf_counter()
    assert sum(1 for _ in ids) == IDS
    seconds = _since(started)
    started = time.perf_counter()
    for _ in range(IDS):
        for process in steering.processors:
            mx.eval(process(logits))
    return Run(seconds / IDS, steering.rules_s / IDS, _since(started) / IDS)


def _since(started: float) -> float:
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
    compare_decode()
