#!/usr/bin/env python3
"""Time to first token of a long prompt: computed, against continued from the prefix cache on disk.

Each round loads the model anew, as a restarted process does, with an empty prefix folder and then
with the one just filled. ``ratio`` is the median of cached / cold seconds.

    scripts/bench_prefix.py [--model nano] [--words 400] [--runs 3] [--json]
"""

import argparse
import json
import os
import statistics
import tempfile

from mlx_magistral import Magistral
from mlx_magistral.memory.prefix_disk import FOLDER_VARIABLE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--words", type=int, default=400, help="length of the prompt")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    cases = [measure(options.model, options.words) for _ in range(options.runs)]
    ratio = statistics.median(case["ratio"] for case in cases)
    if options.json:
        print(json.dumps({"ratio": ratio, "cases": cases}))
        return
    for case in cases:
        print(
            f"{case['prompt_tokens']} tokens: cold {case['cold_s']:.3f} s, "
            f"from disk {case['cached_s']:.3f} s ({case['cached_tokens']} ids continued)"
        )
    print(f"from disk / cold, median: {ratio:.3f}")


def measure(model: str, words: int) -> dict[str, float]:
    """One pair on a folder of its own."""
    prompt = "word " * words
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


if __name__ == "__main__":
    main()
