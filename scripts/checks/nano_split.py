#!/usr/bin/env python3
"""A run of `eval nano` against nano's own evaluation.json: equal but for what sampling explains.

    mlx-magistral eval nano -m nano --run RUN
    scripts/checks/nano_split.py RUN

evaluation.json was made by another program (torch, greedy) on other problems of the same split.
Exit code 1 where a kind, or all together, is further off than chance makes once in a thousand.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from mlx_magistral.evals.report.figures import task_figures
from mlx_magistral.evals.run.folder import read_samples
from mlx_magistral.hub.resolve import nano_folder

_LEAST_P = 0.001


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    tasks = json.loads((nano_folder() / "evaluation.json").read_text())["tasks"]
    (figures,) = task_figures(read_samples(options.run))
    rows: list[tuple[Any, ...]] = [
        (name, round(share * n), n, *_known(tasks[name]))
        for name, (n, share) in figures.groups.items()
    ]
    rows.append(("together", *(sum(row[i] for row in rows) for i in (1, 2, 3, 4))))
    worst = 1.0
    for name, right, n, known, of in rows:
        p = fisher(right, n, known, of)
        worst = min(worst, p)
        print(f"{name:20} {right:4} of {n:4}   evaluation.json {known:4} of {of:4}   p {p:.3f}")
    sys.exit(worst < _LEAST_P)


def _known(task: dict) -> tuple[int, int]:  # type: ignore[type-arg]
    found = task["with_system_prompt"]
    return found["correct"], found["n"]


def fisher(a: int, n: int, b: int, m: int) -> float:
    """Fisher's exact test of two shares, two-sided."""
    total = math.comb(n + m, a + b)

    def chance(x: int) -> float:
        return math.comb(n, x) * math.comb(m, a + b - x) / total

    observed = chance(a)
    possible = range(max(0, a + b - m), min(n, a + b) + 1)
    return sum(p for x in possible if (p := chance(x)) <= observed * (1 + 1e-9))


if __name__ == "__main__":
    main()
