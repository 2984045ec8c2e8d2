#!/usr/bin/env python3
"""Time to first token of a long prompt: computed, against continued from the prefix cache on disk.

Each round loads the model anew, as a restarted process does, with an empty prefix folder and then
with the one just filled. ``ratio`` is the median of cached / cold seconds. The model is nano, or,
where the prompt is too long for it, one of nano's shape with random weights and a longer context.

With --turns N it counts what N turns of a conversation write to disk, against the KV that they have
at the end; ``ratio`` is the one over the other.

    scripts/bench/prefix.py [--prompt-tokens 512] [--model FOLDER] [--runs 3] [--turns N] [--json]
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

from mlx_magistral import Magistral
from mlx_magistral.memory.prefixes.disk import FOLDER_VARIABLE
from mlx_magistral.memory.sizes import kv_bytes
from random_model import make_model

# Of which one is generated.
SPARE_TOKENS = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="default: nano, or random weights for longer prompts")
    parser.add_argument("--prompt-tokens", type=int, default=512, help="at least so many")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--turns", type=int, help="count the bytes of so many turns instead")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    if options.turns:
        show_written(options.model or "nano", options.turns, is_json=options.json)
        return
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model or choose_model(Path(scratch), options.prompt_tokens)
        prompt = prompt_of(model, options.prompt_tokens)
        cases = [measure(model, prompt) for _ in range(options.runs)]
    ratio = statistics.median(case["ratio"] for case in cases)
    if options.json:
        print(json.dumps({"ratio": ratio, "cases": cases}))
        return
    for case in cases:
        print(
            f"{case['prompt_tokens']} tokens: cold {case['cold_s']:.3f} s, "
            f"from disk {case['cached_s']:.3f} s ({case['cached_tokens']} ids continued)"
        )
    print(f"from disk / cold, median: {ratio:.4f}")


def choose_model(scratch: Path, prompt_tokens: int) -> str:
    needed = prompt_tokens + SPARE_TOKENS
    if needed <= Magistral.load("nano").context_tokens:
        return "nano"
    return str(make_model(scratch, context_tokens=needed))


def prompt_of(model: str, prompt_tokens: int) -> str:
    """Words that come to ``prompt_tokens`` ids, or a few more, with all that surrounds them."""
    magistral = Magistral.load(model)

    def count(words: int) -> int:
        return magistral.generate("word " * words, max_tokens=1, seed=0).usage.prompt_tokens

    few, more = count(1), count(11)
    words = 1 + -(-10 * (prompt_tokens - few) // (more - few))
    return "word " * max(words, 1)


def measure(model: str, prompt: str) -> dict[str, float]:
    """One pair on a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER_VARIABLE] = folder
        cold, cached = (
            Magistral.load(model, reuse_prefixes=True).generate(prompt, max_tokens=1, seed=0)
            for _ in range(2)
        )
    assert cold.usage.cached_tokens == 0
    return {
        "prompt_tokens": cold.usage.prompt_tokens,
        "cached_tokens": cached.usage.cached_tokens,
        "cold_s": cold.timings.ttft_s,
        "cached_s": cached.timings.ttft_s,
        "ratio": cached.timings.ttft_s / cold.timings.ttft_s,
    }


def show_written(name: str, turns: int, *, is_json: bool) -> None:
    """Hold a conversation of answers and questions of some 100 words; print what was written."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER_VARIABLE] = folder
        model = Magistral.load(name, reuse_prefixes=True)
        messages, seen, written = [], set(), 0
        for _ in range(turns):
            messages.append({"role": "user", "content": "word " * 100})
            reply = model.generate(messages, max_tokens=4, seed=0)
            messages.append({"role": "assistant", "content": "word " * 50})
            files = {(file.name, file.stat().st_ino): file for file in Path(folder).iterdir()}
            written += sum(files[key].stat().st_size for key in files.keys() - seen)
            seen |= files.keys()
    kv = kv_bytes(model.config, reply.usage.prompt_tokens, model.memory.plan.kv_bits)
    if is_json:
        print(json.dumps({"ratio": written / kv, "written_bytes": written, "kv_bytes": kv}))
        return
    print(f"{turns} turns: {written / 1e6:.2f} MB written for {kv / 1e6:.2f} MB of KV")


if __name__ == "__main__":
    main()
