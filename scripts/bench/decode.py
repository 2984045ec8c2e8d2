#!/usr/bin/env python3
"""Decode speed on the same weights: ours against mlx-lm's generate_step, in tokens per second.

Both run in one process on nano converted to each width, greedy, in turns of a few ids each; the
ratio is the median over the pairs of turns. The context is a cache filled with noise, which costs
what a real one does and needs no prefill. --cpu-time counts the process's own seconds of CPU in
place of the clock's, for a machine that others use too. Needs the dev extra (mlx-lm).

    scripts/bench/decode.py [--bits 16 8 6 4] [--prompt-tokens 64] [--tokens 64] [--runs 5]
                            [--cpu-time] [--json]
"""

import argparse
import importlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model as load_with_mlx_lm

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral import load_model
from mlx_magistral.decode.generate import decode
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.caches import make_cache

TURN = 8  # ids
# The package has a function of the module's name in front of it.
peer = importlib.import_module("mlx_lm.generate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 8, 6, 4])
    parser.add_argument("--prompt-tokens", type=int, default=64, help="tokens of context")
    parser.add_argument("--tokens", type=int, default=64, help="ids to decode in each run")
    parser.add_argument("--runs", type=int, default=5, help="runs, each of tokens / 8 pairs")
    parser.add_argument("--cpu-time", action="store_true", help="seconds of CPU, not of the clock")
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
    clock = time.process_time if options.cpu_time else time.perf_counter
    ours, config = load_model(folder)
    theirs, _ = load_with_mlx_lm(folder)
    shape = (1, config.n_kv_heads, options.prompt_tokens, config.head_dim)
    pairs = []
    for _ in range(options.runs):
        noise = [mx.random.normal(shape).astype(mx.bfloat16) for _ in range(2)]
        count = options.tokens + TURN
        sides = [_our_ids(ours, noise, count), _mlx_lm_ids(theirs, noise, count)]
        for side in sides:
            _turn(side, clock)  # warms up, and grows the cache
        for turn in range(options.tokens // TURN - 1):
            first = turn % 2
            taken = {index: _turn(sides[index], clock) for index in (first, 1 - first)}
            pairs.append((taken[0], taken[1]))
    return {
        "ours_tps": TURN / statistics.median(mine for mine, _ in pairs),
        "mlx_lm_tps": TURN / statistics.median(other for _, other in pairs),
        "ratio": statistics.median(other / mine for mine, other in pairs),
        "pairs": len(pairs),
    }


def _turn(ids: Iterator[Any], clock: Callable[[], float]) -> float:
    """Seconds of a few ids and of the pass that is dispatched ahead of the last."""
    started = clock()
    for _ in range(TURN):
        next(ids)
    mx.synchronize()
    mx.synchronize(peer.generation_stream)
    return clock() - started


def _our_ids(model: Any, noise: list[mx.array], count: int) -> Iterator[int]:
    cache = make_cache(model)
    for layer in cache:
        layer.restore(noise)
    logits = model(mx.array([[100]]), cache)[:, -1]
    sampler = Sampler(SamplingOptions(temperature=0), [], logits.shape[-1])
    return decode(model, logits, cache, sampler, max_tokens=count, stop_tokens=frozenset())


def _mlx_lm_ids(model: Any, noise: list[mx.array], count: int) -> Iterator[Any]:
    cache = make_prompt_cache(model)
    for layer in cache:
        layer.state = (*noise, noise[0].shape[2])
    return peer.generate_step(mx.array([100]), model, max_tokens=count, prompt_cache=cache)


if __name__ == "__main__":
    main()
