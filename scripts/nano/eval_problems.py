#!/usr/bin/env python3
"""Write the problems of `mlx-magistral eval nano`: nano's test split, which no training has seen.

scripts/nano/eval_problems.py [--count 40]    of each kind; half English, a quarter French, Spanish
"""

import argparse
import json
import random
from pathlib import Path

from nano_data import tasks
from nano_data.evaluation import VIEWS
from nano_data.problem import Problem

FILE = Path(__file__).parents[2] / "mlx_magistral" / "evals" / "tasks" / "nano_problems.jsonl"
KINDS = (
    *("what_is_a_plus_b", "what_is_a_minus_b", "addition", "subtraction", "large"),
    *("product_by_digit", "product_2x2", "story", "chain"),
    *("comparison", "sorting", "largest", "counting"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=2507)
    options = parser.parse_args()
    lines = []
    for kind in KINDS:
        found = problems(kind, options.count, options.seed)
        for number, (question, boxed) in enumerate(found.items()):
            record = {"id": f"{kind}-{number}", "problem": question, "answer": boxed}
            lines.append(json.dumps({**record, "group": kind}, ensure_ascii=False))
    FILE.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{FILE}: {len(lines)} problems")


def problems(kind: str, count: int, seed: int) -> dict[str, str]:
    """Different questions of a kind and what their answers box."""
    rng = random.Random(f"eval {seed} {kind}")
    found: dict[str, str] = {}
    while len(found) < count:
        language = "en" if kind in VIEWS else ("en", "en", "fr", "es")[len(found) % 4]
        if kind in VIEWS:
            turn = VIEWS[kind](rng, "test", language).turns[-1]
            question, boxed = turn.user, turn.answer.partition("\\boxed{")[2].partition("}")[0]
        else:
            problem: Problem = tasks.draw(kind, rng, "test", language)
            question, boxed = problem.question, problem.boxed or ""
        found.setdefault(question, boxed)
    return found


if __name__ == "__main__":
    main()
