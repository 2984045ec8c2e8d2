#!/usr/bin/env python3
"""Replies of `eval nano` a second: eight at a time against one by one, in turn.

One by one is a pool of width 1; "alone" is Magistral.generate, with its guessing ahead.

    scripts/bench/batch.py --runs 5 [--width 8] [--problems 24] [--json]

Greedy, so both make the same ids, which is checked. Times include prompts; of the ratios the median
counts.
"""

import argparse
import json
import statistics
import time
from typing import Any

from mlx_magistral import Magistral
from mlx_magistral.batching.pool import Job, ReplyPool
from mlx_magistral.evals.run.order import chosen_problems
from mlx_magistral.evals.tasks.local import nano_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = Magistral.load(options.model)
    problems = chosen_problems(nano_task(), options.problems, seed=0)
    jobs = [Job(each.id, {"messages": each.question, "temperature": 0}) for each in problems]
    timed(model, jobs[:8], options.width)
    cases = []
    for _ in range(options.runs):
        alone = timed_alone(model, jobs)
        one, eight = timed(model, jobs, 1), timed(model, jobs, options.width)
        assert alone["said"] == one["said"] == eight["said"], "a batch says something else"
        cases.append(
            {
                "alone_s": alone["seconds"],
                "one_s": one["seconds"],
                "wide_s": eight["seconds"],
                "ratio": one["seconds"] / eight["seconds"],
                "alone_ratio": alone["seconds"] / eight["seconds"],
                "processor_ratio": one["processor_s"] / eight["processor_s"],
                "wide_tps": eight["tokens"] / eight["seconds"],
            }
        )
    ratio = statistics.median(case["ratio"] for case in cases)
    if options.json:
        print(json.dumps({"ratio": ratio, "width": options.width, "cases": cases}))
        return
    for case in cases:
        print("  ".join(f"{name} {value:.2f}" for name, value in case.items()))
    alone, processor = (
        statistics.median(case[name] for case in cases)
        for name in ("alone_ratio", "processor_ratio")
    )
    print(
        f"{options.width} at a time: {ratio:.2f} times as fast as one by one by the clock, "
        f"{processor:.2f} by processor time, {alone:.2f} times as fast as plain replies "
        f"(medians of {options.runs})"
    )


def timed_alone(model: Magistral, jobs: list[Job]) -> dict[str, Any]:
    """The same by plain replies, one after the other."""
    clock = time.perf_counter()
    said = {job.key: model.generate(**job.options).content for job in jobs}
    return {"seconds": time.perf_counter() - clock, "said": said}


def timed(model: Magistral, jobs: list[Job], width: int) -> dict[str, Any]:
    """What is said, and how long it takes."""
    clock, processor = time.perf_counter(), time.process_time()
    with ReplyPool(model, width) as pool:
        made = {each.key: each.said for each in pool.make(jobs)}
    return {
        "seconds": time.perf_counter() - clock,
        "processor_s": time.process_time() - processor,
        "said": {key: said.reply().content for key, said in made.items()},
        "tokens": sum(said.finished.usage.completion_tokens for said in made.values()),
    }


if __name__ == "__main__":
    main()
