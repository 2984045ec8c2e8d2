"""In which order samples are made: one of every problem before the second of any, seeded.

However early a run ends, the problems it has come to are then a fair draw of all of them.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mlx_magistral.evals.tasks.problem import Problem, Task


class Planned(NamedTuple):
    """A sample to make; ``number`` counts a problem's samples from 0."""

    task: str
    problem: Problem
    number: int

    @property
    def key(self) -> tuple[str, str, int]:
        """Names it within a run."""
        return self.task, self.problem.id, self.number


def chosen_problems(task: Task, limit: int | None, seed: int) -> list[Problem]:
    """The first ``limit`` problems in the seeded order; a larger limit adds to a smaller one's."""
    order = list(task.problems)
    random.Random(f"{seed} {task.name}").shuffle(order)
    return order[:limit]


def plan_samples(
    problems: Mapping[str, Sequence[Problem]], samples: Mapping[str, int], seed: int
) -> Iterator[Planned]:
    """Every sample of every task, by task name: sample 0 of all problems, then sample 1, ..."""
    for index in range(max(samples.values(), default=0)):
        layer = [
            Planned(task, problem, index)
            for task, found in problems.items()
            if index < samples[task]
            for problem in found
        ]
        random.Random(f"{seed} {index}").shuffle(layer)
        yield from layer


def sample_seed(seed: int, planned: Planned) -> int:
    """The seed of one sample: it depends on nothing that runs beside it, nor on the model."""
    name = "\0".join([str(seed), planned.task, planned.problem.id, str(planned.number)])
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
