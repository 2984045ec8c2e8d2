"""Two runs side by side, problem by problem: is one better, by how much, and where they part."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlx_magistral.errors import RunError
from mlx_magistral.evals.report.figures import by_problem, mean_right
from mlx_magistral.evals.report.statistics import (
    Interval,
    mean_interval,
    problems_needed,
    sign_flip_p,
)
from mlx_magistral.evals.run.sample import Sample

# Points that the size of a test is given for.
POINTS = 0.02


@dataclass(frozen=True)
class Parting:
    """A problem that the two runs solve unequally often."""

    problem: str
    a: float
    b: float

    @property
    def difference(self) -> float:
        return self.b - self.a


@dataclass(frozen=True)
class Comparison:
    """Of one task, over the ``problems`` that both runs have; ``difference`` is B less A.

    ``p`` is of a two-sided sign-flip test; ``needed`` is how many problems would show a difference
    of 2 points, at the spread that was seen here.
    """

    task: str
    problems: int
    a: float
    b: float
    interval: Interval
    p: float
    needed: int | None
    partings: tuple[Parting, ...]
    left_out: int

    @property
    def difference(self) -> float:
        return self.b - self.a

    def to_json(self) -> dict[str, Any]:
        """With only JSON types; shares from 0 to 1."""
        partings = [{"problem": each.problem, "a": each.a, "b": each.b} for each in self.partings]
        return {
            "task": self.task,
            "problems": self.problems,
            "left_out": self.left_out,
            "a": self.a,
            "b": self.b,
            "difference": self.difference,
            "interval": list(self.interval),
            "p": self.p,
            "problems_for_2_points": self.needed,
            "partings": partings,
        }


def compare_runs(a: Sequence[Sample], b: Sequence[Sample]) -> list[Comparison]:
    """A row for each task that both have; raises RunError where no problem is in both."""
    tasks = sorted({sample.task for sample in a} & {sample.task for sample in b})
    found = [
        _compare(
            task,
            [sample for sample in a if sample.task == task],
            [sample for sample in b if sample.task == task],
        )
        for task in tasks
    ]
    found = [each for each in found if each.problems]
    if not found:
        raise RunError("The two runs have no problem in common. Run the same task in both.")
    return found


def _compare(task: str, a: list[Sample], b: list[Sample]) -> Comparison:
    one, other = by_problem(a), by_problem(b)
    # A problem of the same name may ask something else in another file.
    shared = [name for name in one if name in other and _texts(one[name]) & _texts(other[name])]
    pairs = [Parting(name, mean_right(one[name]), mean_right(other[name])) for name in shared]
    differences = [pair.difference for pair in pairs]
    count = max(len(pairs), 1)
    return Comparison(
        task=task,
        problems=len(pairs),
        a=sum(pair.a for pair in pairs) / count,
        b=sum(pair.b for pair in pairs) / count,
        interval=_interval(differences) if pairs else Interval(0.0, 0.0),
        p=sign_flip_p(differences),
        needed=problems_needed(differences, POINTS),
        partings=tuple(
            sorted(
                (pair for pair in pairs if pair.difference),
                key=lambda pair: (-abs(pair.difference), pair.problem),
            )
        ),
        left_out=len(one.keys() | other.keys()) - len(pairs),
    )


def _interval(differences: Sequence[float]) -> Interval:
    if not any(differences):
        # No difference anywhere: at most so many of all problems would differ (rule of three).
        bound = 1 - 0.025 ** (1 / len(differences))
        return Interval(-bound, bound)
    return mean_interval(differences)


def _texts(samples: Sequence[Sample]) -> set[str]:
    return {sample.prompt_sha256 for sample in samples}
