#!/usr/bin/env python3
"""Decode speed on the same weights: ours against mlx-lm's generate_step, in tokens per second.

Both run in one process, in turn, on nano converted to each width; the ratio is the median over
the pairs. Greedy, and from the same prompt. Needs the dev extra (mlx-lm).

    scripts/bench_decode.py [--bits 16 8 6 4] [--prompt-tokens 64] [--tokens 64] [--runs 5] [--json]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.generate import generate_step
from mlx_lm.utils import load_model as load_with_mlx_lm

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.source_kinds import open_source
from mlx_magistral import load_model
from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.hub import nano_folder
from mlx_magistral.model.cache import make_cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 8, 6, 4])
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64, help="ids to decode in each run")
    parser.add_argument("--runs", type=int, default=5, help="counted pairs, after one warm-up")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    cases = []
    with tempfile.TemporaryDirectory() as scratch:
        for bits in options.bits:
            folder = Path(scratch) / str(bits)
            convert_checkpoint(open_source(nano_folder()), folder, Recipe(bits))
            cases.append({"bits": bits, **_compare(folder, options)})
    ratio = statistics.median(case["ratio"] for case in cases)
    if options.json:
        print(json.dumps({"ratio": ratio, "cases": cases}))
        return
    print("bits  ours tok/s  mlx-lm tok/s  ours / mlx-lm")
    for case in cases:
        print(
            f"{case['bits']:4}  {case['ours_tps']:10.1f}  {case['mlx_lm_tps']:12.1f}"
            f"  {case['ratio']:13.2f}"
        )


def _compare(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    prompt = [100 + index % 100 for index in range(options.prompt_tokens)]
    ours, _ = load_model(folder)
    theirs, _ = load_with_mlx_lm(folder)
    pairs = [
        (
            _tokens_per_second(_our_ids(ours, prompt, options.tokens)),
            _tokens_per_second(_mlx_lm_ids(theirs, prompt, options.tokens)),
        )
        for _ in range(options.runs + 1)
    ][1:]
    return {
        "ours_tps": statistics.median(mine for mine, _ in pairs),
        "mlx_lm_tps": statistics.median(other for _, other in pairs),
        "ratio": statistics.median(mine / other for mine, other in pairs),
    }


def _tokens_per_second(ids: Iterator[Any]) -> float:
    """From the first id, which waits for the prompt, to the last."""
    next(ids)
    started = time.perf_counter()
    count = sum(1 for _ in ids)
    return count / (time.perf_counter() - started)


def _our_ids(model: Any, prompt: list[int], count: int) -> Iterator[int]:
    cache = make_cache(model)
    logits = prefill(model, prompt, cache)
    assert logits is not None
    sampler = Sampler(SamplingOptions(temperature=0), prompt, logits.shape[-1])
    return decode(model, logits, cache, sampler, max_tokens=count, stop_tokens=frozenset())


def _mlx_lm_ids(model: Any, prompt: list[int], count: int) -> Iterator[Any]:
    return generate_step(mx.array(prompt), model, max_tokens=count)


if __name__ == "__main__":
    main()
